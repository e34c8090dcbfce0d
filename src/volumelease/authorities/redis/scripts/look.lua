-- How the requests of a session stand that wait, and who is in their way.
--
-- KEYS, ARGV[1..4]  see table.lua
-- ARGV[5]   of how many of them, at most, those in the way are told; and after a space, of up to how
--           many more in the way than MOST_AHEAD the sessions are told too, by counter alone
-- ARGV[6..] their numbers, oldest first
-- Reply     {"look", grace, {number, standing, ...}, {{session, counter, facts, clients} ...},
--            tokens that are being broken}
--           standing: "granted", "waiting", "breaking", or "gone"
--           facts: "" where only the counter is told

local other = begin()
if other then return other end
if not session() then return {'unknown'} end
local asked, more = string.match(ARGV[5], '^(%d+) ?(%d*)$')
local standings, sessions, seen, left = {}, {}, {}, tonumber(asked)
local most = MOST_AHEAD + (tonumber(more) or 0)
for index = 6, #ARGV do
  local number, word = ARGV[index], 'gone'
  local token = redis.call('HGET', P .. 'of:' .. ME, number)
  if token then
    local r = redis.call('HMGET', P .. 'r:' .. token, 'g', 'x', 'k', 'b')
    word = (r[4] and 'breaking') or (r[1] ~= '' and 'granted') or 'waiting'
    if word == 'waiting' and left > 0 and GRACE == '' then
      left = left - 1
      for place, blocker in ipairs(blockers(token, split(r[3]), r[2] == '1', most)) do
        local name = redis.call('HGET', P .. 'r:' .. blocker, 's')
        if name and name ~= ME then
          local row = seen[name]
          if not row then
            row = {name, redis.call('HGET', P .. 's:' .. name, 'counter') or '', '', {}}
            seen[name] = row
            sessions[#sessions + 1] = row
          end
          if place <= MOST_AHEAD and row[3] == '' then
            row[3] = redis.call('HGET', P .. 's:' .. name, 'facts') or ''
            row[4] = redis.call('HKEYS', P .. 'c:' .. name)
          end
        end
      end
    end
  end
  standings[#standings + 1] = number
  standings[#standings + 1] = word
end
return {'look', GRACE, standings, sessions, redis.call('SMEMBERS', P .. 'marked')}
