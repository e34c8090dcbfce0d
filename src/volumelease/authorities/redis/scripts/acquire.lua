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

local keys = split(joined)
local free = clear(keys, exclusive)
if ARGV[6] == '0' and not (free and GRACE == '') then
  redis.call('ZADD', P .. 'fin:' .. ME, number, number)
  return {'busy', ahead(blockers('', keys, exclusive, MOST_AHEAD))}
end
if not free then
  local cycle = circle('', owners(ME, ARGV[8]), joined, ARGV[7])
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
