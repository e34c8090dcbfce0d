-- How the requests of a session stand that wait, and who is in their way.
--
-- KEYS, ARGV[1..4]  see table.lua
-- ARGV[5]   of how many of them, at most, those in the way are told
-- ARGV[6..] their numbers, oldest first
-- Reply     {"look", grace, {number, standing, ...}, {{session, counter, facts, clients} ...},
--            tokens that are being broken}
--           standing: "granted", "waiting", "breaking", or "gone"

local other = begin()
if other then return other end
if not session() then return {'unknown'} end
local standings, sessions, seen, left = {}, {}, {}, tonumber(ARGV[5])
for index = 6, #ARGV do
  local number, word = ARGV[index], 'gone'
  local token = redis.call('HGET', P .. 'of:' .. ME, number)
  if token then
    local r = redis.call('HMGET', P .. 'r:' .. token, 'g', 'x', 'k', 'b')
    word = (r[4] and 'breaking') or (r[1] ~= '' and 'granted') or 'waiting'
    if word == 'waiting' and left > 0 and GRACE == '' then
      left = left - 1
      for _, blocker in ipairs(blockers(token, split(r[3]), r[2] == '1', MOST_AHEAD)) do
        local name = redis.call('HGET', P .. 'r:' .. blocker, 's')
        if name and name ~= ME and not seen[name] then
          seen[name] = true
          local s = redis.call('HMGET', P .. 's:' .. name, 'counter', 'facts')
          sessions[#sessions + 1] = {name, s[1] or '', s[2] or '',
            redis.call('HKEYS', P .. 'c:' .. name)}
        end
      end
    end
  end
  standings[#standings + 1] = number
  standings[#standings + 1] = word
end
return {'look', GRACE, standings, sessions, redis.call('SMEMBERS', P .. 'marked')}
