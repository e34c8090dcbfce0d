-- Turn an exclusive lease into a shared one without letting go in between.
--
-- KEYS, ARGV[1..4]  see table.lua
-- ARGV[5]  its number
-- Reply    {"granted", token, exclusive, what of this session's own was granted by it},
--          {"waiting", token, ahead}, {"breaking", token, by}, {"void"}

local other = begin(true)
if other then return other end
if not session() then return {'unknown'} end
local token = redis.call('HGET', P .. 'of:' .. ME, ARGV[5])
if not token then return {'void'} end
local r = redis.call('HMGET', P .. 'r:' .. token, 'g', 'x', 'k')
if r[1] ~= '' and r[2] == '1' then
  local keys, candidates = split(r[3]), {}
  past(token, ME, r[3], redis.call('HGET', STATE, 'sequence'))
  place('ZREM', token, keys, true)
  behind(candidates, token, keys, true)
  redis.call('HSET', P .. 'r:' .. token, 'x', '0')
  place('ZADD', token, keys, false)
  grant(candidates)
end
local reply = standing(token)
if reply[1] == 'granted' then reply[4] = tell() else tell() end
return reply
