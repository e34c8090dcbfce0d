-- The whole table, to be shown. Changes nothing, and notices nothing.
--
-- KEYS[1]  see table.lua
-- Reply    {"picture", incarnation, grace, {{session, facts, counter} ...},
--           {token, session, exclusive, granted at or "", asked at, about, by, keys} each}

local state = redis.call('HMGET', STATE, 'incarnation', 'grace')
if not state[1] then return {'picture', '0', '', {}, {}} end
P = BASE .. state[1] .. ':'
local sessions, requests = {}, {}
for _, name in ipairs(redis.call('ZRANGE', P .. 'names', 0, -1)) do
  local s = redis.call('HMGET', P .. 's:' .. name, 'facts', 'counter')
  sessions[#sessions + 1] = {name, s[1] or '', s[2] or '0'}
  for _, token in ipairs(redis.call('HVALS', P .. 'of:' .. name)) do
    local r = redis.call('HMGET', P .. 'r:' .. token, 's', 'x', 'g', 'w', 'a', 'b', 'k')
    if r[1] then
      requests[#requests + 1] = {token, r[1], r[2], r[3], r[4], r[5], r[6] or '', r[7]}
    end
  end
end
return {'picture', state[1], state[2], sessions, requests}
