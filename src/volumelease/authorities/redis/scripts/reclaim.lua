-- In a grace, name what a session had in the memory before: its leases, and its place in queues.
-- In parts, if it is much; asked again, it changes nothing.
--
-- KEYS, ARGV[1..4]  see table.lua; ARGV[1] is the incarnation that the grace belongs to
-- ARGV[5]   who it is
-- ARGV[6]   its counter
-- ARGV[7]   floor, see release.lua
-- ARGV[8..] of each request: number, its old token, 1 if exclusive, granted at or "", owner,
--           keys, about, asked at, client
-- Reply     {"reclaimed", grace, numbers that are lost}

local other = begin(true)
if other then return other end
local me = session()
if not me then
  if GRACE == '' then return {'unknown'} end
  redis.call('ZADD', P .. 'names', 0, ME)
  redis.call('HSET', P .. 's:' .. ME, 'counter', ARGV[6], 'floor', ARGV[7], 'rejoined', ARGV[7],
    'touched', '0', 'facts', ARGV[5])
elseif tonumber(ARGV[6]) > me[1] then
  redis.call('HSET', P .. 's:' .. ME, 'counter', ARGV[6])
end

-- Whether that request can be put back. Of two leases that conflict the larger token wins, and
-- nobody waits in front of a lease that was granted. A server that forgot twice before anybody
-- could tell it can have given one token to two: the second is lost.
local function makes_way(token, granted, keys, exclusive)
  if redis.call('EXISTS', P .. 'r:' .. token) == 1 then return false end
  local smaller = {}
  for _, rival in ipairs(blockers('', keys, exclusive)) do
    local holds = redis.call('HGET', P .. 'r:' .. rival, 'g') ~= ''
    if holds and rival > token then return false end
    if granted and (holds or rival < token) then smaller[#smaller + 1] = rival end
  end
  for _, rival in ipairs(smaller) do
    take_away(rival)
    erase(rival)
  end
  return true
end

local lost = {}
for i = 8, #ARGV, 9 do
  local number, token = ARGV[i], ARGV[i + 1]
  if redis.call('HEXISTS', P .. 'of:' .. ME, number) == 0 then
    local over = GRACE == '' or redis.call('ZSCORE', P .. 'fin:' .. ME, number)
    if over then
      lost[#lost + 1] = number
    elseif makes_way(token, ARGV[i + 3] ~= '', split(ARGV[i + 5]), ARGV[i + 2] == '1') then
      insert(token, number, ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6],
        ARGV[i + 7], ARGV[i + 8])
    else
      redis.call('ZADD', P .. 'fin:' .. ME, number, number)
      lost[#lost + 1] = number
    end
  end
end
return {'reclaimed', GRACE, lost}
