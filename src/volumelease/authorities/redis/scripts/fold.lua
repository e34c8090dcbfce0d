-- Put the counts of sessions that are over into one sum: all in this one step, or nothing.
--
-- KEYS, ARGV[1..4]  see table.lua
-- ARGV[5]   the sum that the caller began with
-- ARGV[6]   the new one
-- ARGV[7]   the caller's wall clock before which a session was folded that may be forgotten: its
--           report comes no more
-- ARGV[8..] pairs: a session that is in it, and the counts of it that the caller read
-- Reply     {"folded"}, or {"moved"}: somebody else was faster, nothing was done

local key = BASE .. 'reports'
if (redis.call('HGET', key, 'total') or '') ~= ARGV[5] then return {'moved'} end
for index = 8, #ARGV, 2 do
  if redis.call('HGET', key, 'session:' .. ARGV[index]) ~= ARGV[index + 1] then
    return {'moved'}
  end
end
redis.call('HSET', key, 'total', ARGV[6])
local all = redis.call('HGETALL', key)
for index = 1, #all, 2 do
  local at = tonumber(all[index + 1]) or 0
  if string.sub(all[index], 1, 7) == 'folded:' and at < tonumber(ARGV[7]) then
    redis.call('HDEL', key, all[index])
  end
end
for index = 8, #ARGV, 2 do
  redis.call('HDEL', key, 'session:' .. ARGV[index])
  redis.call('HSET', key, 'folded:' .. ARGV[index], WALL)
end
redis.call('HSET', key, 'kept', '0')  -- what comes from now on is new: see report.lua
redis.call('HSET', key, 'kept', redis.call('HLEN', key))
return {'folded'}
