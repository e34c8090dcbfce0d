-- What was leased exclusively since somebody looked last, for who judges writes after the fact. Takes
-- no part in leases. From the first look on, ends are kept for the next one; a minute after the
-- last one they are forgotten, and cost nothing any more.
--
-- KEYS[1]  see table.lua
-- ARGV[5]  the incarnation that was told last time, 0: none
-- ARGV[6]  the sequence that was told last time
-- Reply    {"past", incarnation, "" or why the table tells less than there is, sequence,
--           1 if every end since the last time is told, else 0,
--           {token, session and keys, between zeros, of what ended ...},
--           {{token, session, keys} of what is held ...}, {{session, facts} of its holders ...}}

local SECONDS, ENDS = 60, 20000

local state = redis.call('HMGET', STATE, 'incarnation', 'grace', 'sequence', 'ended')
if not state[1] then return {'past', '0', 'nothing', '0', 0, {}, {}, {}} end
P = BASE .. state[1] .. ':'
local over, since, whole = P .. 'past', tonumber(ARGV[6]), 0
local oldest = redis.call('ZRANGE', over, 0, 0, 'WITHSCORES')
if not oldest[1] then redis.call('ZADD', over, state[3], '')
elseif ARGV[5] == state[1] and tonumber(oldest[2]) <= since then whole = 1 end
-- A downgrade takes no number of its own: what is told of the last one is told once more.
local ended = redis.call('ZRANGEBYSCORE', over, since, '+inf')
redis.call('ZREMRANGEBYRANK', over, 0, -ENDS - 1)
redis.call('EXPIRE', over, SECONDS)
local held, holders = {}, {}
for _, name in ipairs(redis.call('ZRANGE', P .. 'names', 0, -1)) do
  local before = #held
  for _, token in ipairs(redis.call('HVALS', P .. 'of:' .. name)) do
    local r = redis.call('HMGET', P .. 'r:' .. token, 'x', 'g', 'k')
    if r[1] == '1' and r[2] ~= '' then held[#held + 1] = {token, name, r[3]} end
  end
  if #held > before then
    holders[#holders + 1] = {name, redis.call('HGET', P .. 's:' .. name, 'facts') or ''}
  end
end
return {'past', state[1], state[4] or state[2], state[3], whole, ended, held, holders}
