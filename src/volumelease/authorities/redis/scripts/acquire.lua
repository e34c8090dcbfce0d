-- Ask for some paths together. The same number asked again is the same request; a finished one is
-- refused, so that a copy which was long on its way is not granted to nobody.
--
-- KEYS, ARGV[1..4]  see table.lua
-- ARGV[5]   number: this session's own, each of its requests has a higher one
-- ARGV[6]   1: wait for it; 0: only if it can be granted at once
-- ARGV[7]   1: exclusive; 0: shared
-- ARGV[8]   owner
-- ARGV[9]   the keys of the paths, with a zero byte between them
-- ARGV[10]  what is told about it to others, kept as it is
-- ARGV[11]  the process that uses it, or ""
-- Reply     {"granted", token, exclusive}, {"waiting", token, ahead}, {"busy", ahead},
--           {"deadlocked", tokens of the cycle, ahead}, {"breaking", token, by}, {"finished"}
--           ahead: {token, session, exclusive, granted at or "", asked at, about, by, facts} each

local other = begin()
if other then return other end
local me = session()
if not me then return {'unknown'} end
local number, joined, exclusive = ARGV[5], ARGV[9], ARGV[7] == '1'
local live = redis.call('HGET', P .. 'of:' .. ME, number)
if live then return standing(live) end
if finished(me, number) then return {'finished'} end

-- The tokens of the circle of waiting owners that this request would close, or nil. Edges only
-- appear with a new request and lead to older ones: the youngest of a circle is who closes it.
local function circle(keys)
  local mine = owners(ME, ARGV[8])
  if redis.call('EXISTS', mine) == 0 then return nil end
  local trail, looked, front = {}, {[joined .. '\0' .. ARGV[7]] = '~'}, {}
  for _, token in ipairs(blockers('', keys, exclusive)) do front[#front + 1] = {token, {}} end
  while #front > 0 do
    local token, path = unpack(table.remove(front))
    local r = redis.call('HMGET', P .. 'r:' .. token, 's', 'o')
    local reached = r[1] and owners(r[1], r[2])
    local steps = {unpack(path)}
    steps[#steps + 1] = token
    if reached == mine then return steps end
    if reached and not trail[reached] then
      trail[reached] = true
      local theirs = redis.call('SMEMBERS', reached)
      table.sort(theirs)
      for _, waiting in ipairs(theirs) do
        local w = redis.call('HMGET', P .. 'r:' .. waiting, 'g', 'k', 'x')
        local same = w[2] .. '\0' .. w[3]
        if w[1] == '' and (looked[same] or '') < waiting then
          looked[same] = waiting
          for _, blocker in ipairs(blockers(waiting, split(w[2]), w[3] == '1')) do
            front[#front + 1] = {blocker, steps}
          end
        end
      end
    end
  end
end

local keys = split(joined)
local free = clear(keys, exclusive)
if ARGV[6] == '0' and not (free and GRACE == '') then
  redis.call('ZADD', P .. 'fin:' .. ME, number, number)
  return {'busy', ahead(blockers('', keys, exclusive, MOST_AHEAD))}
end
if not free then
  local cycle = circle(keys)
  if cycle then
    redis.call('ZADD', P .. 'fin:' .. ME, number, number)
    return {'deadlocked', cycle, ahead(blockers('', keys, exclusive, MOST_AHEAD))}
  end
end
local token = next_token()
if not token then return renewed() end
local granted = ''
if free and GRACE == '' then granted = WALL end
insert(token, number, ARGV[7], granted, ARGV[8], joined, ARGV[10], WALL, ARGV[11])
if granted ~= '' then return {'granted', token, ARGV[7]} end
return standing(token)
