-- Keep what a session counted, for whoever shows the whole fleet. Not part of the table, and of no
-- incarnation.
--
-- KEYS, ARGV[1..4]  see table.lua
-- ARGV[5]  its counts
-- Reply    {"reported", how many reports came since the last fold}

local key = BASE .. 'reports'
if not redis.call('HGET', key, 'folded:' .. ME) then
  redis.call('HSET', key, 'session:' .. ME, ARGV[5])
end
local kept = tonumber(redis.call('HGET', key, 'kept') or '0')
return {'reported', math.max(0, redis.call('HLEN', key) - kept)}
