-- The heartbeat of a session, whatever it holds.
--
-- KEYS, ARGV[1..4]  see table.lua
-- ARGV[5]  its counter, higher each time
-- ARGV[6]  floor, see release.lua
-- ARGV[7]  how many of the sessions after this one, in the ring of all names, are told of
-- Reply    {"beat", grace, its live requests, how often somebody else did something to them,
--           tokens that are being broken, {session, counter, ...}, the nonce of this memory}

local other = begin(true)
if other then return other end
local me = session()
if not me then return {'unknown'} end
if tonumber(ARGV[5]) > me[1] then redis.call('HSET', P .. 's:' .. ME, 'counter', ARGV[5]) end
if tonumber(ARGV[6]) > me[2] then redis.call('HSET', P .. 's:' .. ME, 'floor', ARGV[6]) end
redis.call('ZREMRANGEBYSCORE', P .. 'fin:' .. ME, me[3],
  '(' .. math.max(tonumber(ARGV[6]), me[2]))
local ring = {}
local names = redis.call('ZRANGEBYLEX', P .. 'names', '(' .. ME, '+', 'LIMIT', 0, ARGV[7])
if #names < tonumber(ARGV[7]) then
  local rest = tonumber(ARGV[7]) - #names
  for _, name in ipairs(redis.call('ZRANGEBYLEX', P .. 'names', '-', '(' .. ME, 'LIMIT', 0, rest)) do
    names[#names + 1] = name
  end
end
for _, name in ipairs(names) do
  ring[#ring + 1] = name
  ring[#ring + 1] = redis.call('HGET', P .. 's:' .. name, 'counter') or ''
end
return {'beat', GRACE, redis.call('HLEN', P .. 'of:' .. ME),
  redis.call('HGET', P .. 's:' .. ME, 'touched'), redis.call('SMEMBERS', P .. 'marked'), ring,
  redis.call('HGET', STATE, 'nonce')}
