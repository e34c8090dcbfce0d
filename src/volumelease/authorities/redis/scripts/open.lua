-- Open a session. Asked again, it is the same one, and only its counter grows: who opens counts from
-- the try that was answered, so those who watch must not count from one before it.
--
-- KEYS, ARGV[1..4]  see table.lua
-- ARGV[5]  who it is: kept, and told to others as it is
-- ARGV[6]  its counter, higher with each try
-- Reply    {"open", incarnation, grace, nonce}; {"evicts", policy} from a server that may throw away
--          parts of the table to make room, and so a lease: no session begins there

local other = begin(true)
if other then return other end
local policy = evicts()
if policy then return {'evicts', policy} end
local me = session()
if me then
  if tonumber(ARGV[6]) > me[1] then redis.call('HSET', P .. 's:' .. ME, 'counter', ARGV[6]) end
else
  redis.call('ZADD', P .. 'names', 0, ME)
  redis.call('HSET', P .. 's:' .. ME, 'counter', ARGV[6], 'floor', '0', 'rejoined', '0',
    'touched', '0', 'facts', ARGV[5])
end
return {'open', string.format('%.0f', INCARNATION), GRACE, NONCE}
