-- Everything that a session has here.
--
-- KEYS, ARGV[1..4]  see table.lua
-- Reply  {"all", how often somebody else did something to them,
--         {number, token, granted at or "", exclusive, who breaks it or ""} each}

local other = begin()
if other then return other end
if not session() then return {'unknown'} end
local found = {}
local all = redis.call('HGETALL', P .. 'of:' .. ME)
for index = 1, #all, 2 do
  local r = redis.call('HMGET', P .. 'r:' .. all[index + 1], 'g', 'x', 'b')
  found[#found + 1] = {all[index], all[index + 1], r[1] or '', r[2] or '', r[3] or ''}
end
return {'all', redis.call('HGET', P .. 's:' .. ME, 'touched'), found}
