-- Break a lease of anybody: mark it, so that its holder loses it at its next beat; end it once the
-- mark was watched for a ttl.
--
-- KEYS, ARGV[1..4]  see table.lua
-- ARGV[5]  its token
-- ARGV[6]  "mark" or "end"
-- ARGV[7]  who breaks it, and why: told to the holder as it is; "" with "end"
-- Reply    {"marked", "broken" or "void", what of the caller's own was granted by it}

local other = begin(true)
if other then return other end
if not session() then return {'unknown'} end
local r = redis.call('HMGET', P .. 'r:' .. ARGV[5], 's', 'g', 'b')
if ARGV[6] == 'mark' then
  if not r[1] or r[2] == '' or r[3] then return {'void', {}} end
  redis.call('HSET', P .. 'r:' .. ARGV[5], 'b', ARGV[7])
  redis.call('SADD', P .. 'marked', ARGV[5])
  redis.call('HINCRBY', P .. 's:' .. r[1], 'touched', 1)
  return {'marked', {}}
end
if not r[3] then return {'void', {}} end
take_away(ARGV[5])
end_all({ARGV[5]})
return {'broken', tell()}
