-- Put the counts of sessions that are over into one sum: all in this one step, or nothing.
--
-- KEYS, ARGV[1..4]  see table.lua
-- ARGV[5]   the sum that the caller began with
-- ARGV[6]   the new one
-- ARGV[7..] pairs: a session that is in it, and the counts of it that the caller read
-- Reply     {"folded"}, or {"moved"}: somebody else was faster, nothing was done

local key = BASE .. 'reports'
if (redis.call('HGET', key, 'total') or '') ~= ARGV[5] then return {'moved'} end
for index = 7, #ARGV, 2 do
  if redis.call('HGET', key, 'session:' .. ARGV[index]) ~= ARGV[index + 1] then
    return {'moved'}
  end
end
redis.call('HSET', key, 'total', ARGV[6])
for index = 7, #ARGV, 2 do
  redis.call('HDEL', key, 'session:' .. ARGV[index])
  redis.call('HSET', key, 'folded:' .. ARGV[index], WALL)
end
return {'folded'}
