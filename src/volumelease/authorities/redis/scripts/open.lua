-- Open a session. Asked again, it changes nothing.
--
-- KEYS, ARGV[1..4]  see table.lua
-- ARGV[5]  who it is: kept, and told to others as it is
-- ARGV[6]  its counter
-- Reply    {"open", incarnation, grace}

local other = begin(true)
if other then return other end
if not session() then
  redis.call('ZADD', P .. 'names', 0, ME)
  redis.call('HSET', P .. 's:' .. ME, 'counter', ARGV[6], 'floor', '0', 'rejoined', '0',
    'touched', '0', 'facts', ARGV[5])
end
return {'open', string.format('%.0f', INCARNATION), GRACE}
