-- The table of one volume: who holds, who waits. Every script is this text and its own.
--
-- The same rules as core/table.py: first come, first served, nobody passes a waiter that
-- conflicts; several paths together or not at all; what the rules don't allow changes nothing.
-- There is no clock in here: that a session stands still is judged by those who watch it.
--
-- KEYS[1]  {volumelease:<identity>}:state; all other keys have the same hash tag
-- ARGV[1]  the incarnation that the caller knows, and after a space the nonce of its memory: a
--          server that lost its memory twice can come to the same number again; 0: none yet
-- ARGV[2]  a random text of the caller: the nonce of a grace, should one begin now
-- ARGV[3]  the session that calls
-- ARGV[4]  its wall clock, to be shown to people and never compared
-- Replies  a list that begins with a word. From every script:
--          {"incarnation", incarnation, grace, nonce}  another one than the caller's: nothing was
--          done
--          {"unknown"}  no such session here: it was ended
--          {"ended", authority, log}  this volume has another authority now, see move.lua
--
-- :state                       hash: life, incarnation, sequence, grace (its nonce or ""), nonce
--                              (of this memory, for good), ended, log
-- :<incarnation>:names         sorted set: the sessions
-- :<incarnation>:s:<session>   hash: counter, floor, rejoined, touched, facts
-- :<incarnation>:of:<session>  hash: number of a live request -> its token
-- :<incarnation>:fin:<session> sorted set: finished numbers that the floor does not cover
-- :<incarnation>:c:<session>   hash: processes that use its leases -> of how many
-- :<incarnation>:o:<session>\0<owner>  set: the tokens of one owner
-- :<incarnation>:r:<token>     hash of a request: s(ession), n(umber), o(wner), x (1: exclusive),
--                              g (when granted, or ""), k(eys, between zeros), a(bout), w (when
--                              asked), c(lient), b (who breaks it)
-- :<incarnation>:x: z: X: Z: <key>  sorted sets: tokens that lie, exclusively or shared, on that
--                              key, and below it
-- :<incarnation>:marked        set: tokens of leases that are being broken
-- :<incarnation>:past          sorted set: what was leased exclusively and ended, by the sequence at
--                              its end: token, session, keys; only while somebody reads it, see
--                              past.lua
--
-- A token is (incarnation, sequence), two numbers that a Lua number can hold; as a name both have
-- ten digits, so that names sort like tokens.

local EPOCH = 1577836800  -- 2020: an incarnation is at least the server's clock in seconds since
local MOST = 4294967295   -- requests of one incarnation; then it is the next one's turn
local MOST_AHEAD = 8      -- requests in the way that are told of, oldest first
local MOST_STEPS = 5000   -- requests looked at for circles at the end of a grace: some 20 ms

local STATE, ME, WALL = KEYS[1], ARGV[3], ARGV[4]
local BASE = string.sub(STATE, 1, -6)
local P, INCARNATION, GRACE, NONCE
local news = {}  -- {token, session} of what this call granted

local function split(joined)
  local found = {}
  for key in string.gmatch(joined .. '\0', '(.-)%z') do found[#found + 1] = key end
  return found
end

local function above(key)
  local found = {}
  while key ~= '' do
    key = string.match(key, '^(.*)/[^/]*$') or ''
    found[#found + 1] = key
  end
  return found
end

local function sorted(set)
  local found = {}
  for token in pairs(set) do found[#found + 1] = token end
  table.sort(found)
  return found
end

-- ---- conflicts: their cost grows with depth, not with the number of leases

local function place(command, token, keys, exclusive)
  local own, below = 'z:', 'Z:'
  if exclusive then own, below = 'x:', 'X:' end
  for _, key in ipairs(keys) do
    if command == 'ZADD' then redis.call('ZADD', P .. own .. key, 0, token)
    else redis.call('ZREM', P .. own .. key, token) end
    for _, upper in ipairs(above(key)) do
      if command == 'ZADD' then redis.call('ZADD', P .. below .. upper, 0, token)
      else redis.call('ZREM', P .. below .. upper, token) end
    end
  end
end

local function lists(keys, exclusive)
  local found = {}
  for _, key in ipairs(keys) do
    found[#found + 1] = P .. 'x:' .. key
    found[#found + 1] = P .. 'X:' .. key
    if exclusive then
      found[#found + 1] = P .. 'z:' .. key
      found[#found + 1] = P .. 'Z:' .. key
    end
    for _, upper in ipairs(above(key)) do
      found[#found + 1] = P .. 'x:' .. upper
      if exclusive then found[#found + 1] = P .. 'z:' .. upper end
    end
  end
  return found
end

local function clear(keys, exclusive)
  local all = lists(keys, exclusive)
  for first = 1, #all, 500 do
    if redis.call('EXISTS', unpack(all, first, math.min(first + 499, #all))) > 0 then
      return false
    end
  end
  return true
end

local function blocked(token, keys, exclusive)
  for _, list in ipairs(lists(keys, exclusive)) do
    local oldest = redis.call('ZRANGE', list, 0, 0)[1]
    if oldest and oldest < token then return true end
  end
  return false
end

-- The requests older than token in the way of these keys ("" as token: all), oldest first.
local function blockers(token, keys, exclusive, most)
  local found, upto = {}, '+'
  if token ~= '' then upto = '(' .. token end
  for _, list in ipairs(lists(keys, exclusive)) do
    local some
    if most then some = redis.call('ZRANGEBYLEX', list, '-', upto, 'LIMIT', 0, most)
    else some = redis.call('ZRANGEBYLEX', list, '-', upto) end
    for _, other in ipairs(some) do found[other] = true end
  end
  local ordered = sorted(found)
  while most and #ordered > most do table.remove(ordered) end
  return ordered
end

-- The younger requests that may go ahead when token is gone. Whoever is younger than an exclusive
-- request on the key or above it waits for that one: a thousand waiters for one path cost one look.
local function behind(found, token, keys, exclusive)
  if clear(keys, exclusive) then return end
  for _, key in ipairs(keys) do
    local last
    local upwards = above(key)
    table.insert(upwards, 1, key)
    for _, upper in ipairs(upwards) do
      local x = redis.call('ZRANGEBYLEX', P .. 'x:' .. upper, '(' .. token, '+', 'LIMIT', 0, 1)[1]
      if x and (not last or x < last) then last = x end
    end
    local upto = '+'
    if last then upto = '[' .. last end
    for _, list in ipairs(lists({key}, exclusive)) do
      for _, other in ipairs(redis.call('ZRANGEBYLEX', list, '(' .. token, upto)) do
        found[other] = true
      end
    end
  end
end

local function grant(candidates)
  if GRACE ~= '' then return end
  for _, token in ipairs(sorted(candidates)) do
    local r = redis.call('HMGET', P .. 'r:' .. token, 's', 'g', 'x', 'k')
    if r[1] and r[2] == '' and not blocked(token, split(r[4]), r[3] == '1') then
      redis.call('HSET', P .. 'r:' .. token, 'g', WALL)
      news[#news + 1] = {token, r[1]}
    end
  end
end

-- ---- requests

local function owners(session, owner) return P .. 'o:' .. session .. '\0' .. owner end

local function insert(token, number, exclusive, granted, owner, keys, about, asked, client, session)
  session = session or ME
  redis.call('HSET', P .. 'r:' .. token, 's', session, 'n', number, 'o', owner,
    'x', exclusive, 'g', granted, 'k', keys, 'a', about, 'w', asked, 'c', client)
  redis.call('HSET', P .. 'of:' .. session, number, token)
  redis.call('SADD', owners(session, owner), token)
  if client ~= '' then redis.call('HINCRBY', P .. 'c:' .. session, client, 1) end
  place('ZADD', token, split(keys), exclusive == '1')
end

-- The tokens of the circle of waiting owners that a request of "mine" closes, or nil ("" as token: a
-- new one). Edges only appear with a new request, or in a grace, and lead to older ones: the youngest
-- of a circle is who closes it. Looks at about "left" requests; returns how many are left too.
local function circle(token, mine, joined, exclusive, left)
  left = left or math.huge
  if redis.call('EXISTS', mine) == 0 then return nil, left end
  local trail, looked, front = {}, {}, {}
  local function look(at, keys, mode, way)
    local same = keys .. '\0' .. mode
    if looked[same] and (looked[same] == '' or looked[same] >= at) then return end
    looked[same] = at
    for _, blocker in ipairs(blockers(at, split(keys), mode == '1')) do
      front[#front + 1] = {blocker, way}
      left = left - 1
    end
  end
  look(token, joined, exclusive, nil)
  while #front > 0 and left > 0 do
    local step = table.remove(front)
    local r = redis.call('HMGET', P .. 'r:' .. step[1], 's', 'o')
    local reached = r[1] and owners(r[1], r[2])
    if reached == mine then
      local cycle = {}
      while step do
        table.insert(cycle, 1, step[1])
        step = step[2]
      end
      return cycle, left
    end
    if reached and not trail[reached] then
      trail[reached] = true
      local theirs = redis.call('SMEMBERS', reached)
      table.sort(theirs)
      for _, other in ipairs(theirs) do
        local w = redis.call('HMGET', P .. 'r:' .. other, 'g', 'k', 'x')
        if w[1] == '' then look(other, w[2], w[3], step) end
      end
    end
  end
  return nil, left
end

-- An exclusive lease ended at that sequence: tell who watches what is written.
local function past(token, session, keys, sequence)
  if redis.call('EXISTS', P .. 'past') == 1 then
    redis.call('ZADD', P .. 'past', sequence, token .. '\0' .. session .. '\0' .. keys)
  end
end

-- Take a request out. Returns its keys and mode, for whoever waited behind it. That takes a number
-- too: who finds its token right behind the number before it knows that nothing was between.
local function erase(token)
  local r = redis.call('HMGET', P .. 'r:' .. token, 's', 'n', 'o', 'x', 'k', 'c', 'b', 'g')
  if not r[1] then return end
  local sequence = redis.call('HINCRBY', STATE, 'sequence', 1)
  local keys, exclusive = split(r[5]), r[4] == '1'
  if exclusive and r[8] ~= '' then past(token, r[1], r[5], sequence) end
  redis.call('DEL', P .. 'r:' .. token)
  redis.call('HDEL', P .. 'of:' .. r[1], r[2])
  redis.call('SREM', owners(r[1], r[3]), token)
  if r[7] then redis.call('SREM', P .. 'marked', token) end
  if r[6] ~= '' and redis.call('HINCRBY', P .. 'c:' .. r[1], r[6], -1) < 1 then
    redis.call('HDEL', P .. 'c:' .. r[1], r[6])
  end
  place('ZREM', token, keys, exclusive)
  return keys, exclusive, r[1], r[2]
end

local function end_all(tokens)
  local candidates, gone = {}, {}
  for _, token in ipairs(tokens) do
    local keys, exclusive = erase(token)
    if keys then gone[#gone + 1] = {token, keys, exclusive} end
  end
  for _, one in ipairs(gone) do behind(candidates, one[1], one[2], one[3]) end
  grant(candidates)
end

-- Somebody else ends a request of that session: its number is finished, and its next beat hears
-- that something was done to it.
local function take_away(token)
  local r = redis.call('HMGET', P .. 'r:' .. token, 's', 'n')
  if not r[1] then return end
  redis.call('ZADD', P .. 'fin:' .. r[1], r[2], r[2])
  redis.call('HINCRBY', P .. 's:' .. r[1], 'touched', 1)
end

local function end_session(session)
  local tokens = redis.call('HVALS', P .. 'of:' .. session)
  end_all(tokens)
  redis.call('DEL', P .. 's:' .. session, P .. 'of:' .. session, P .. 'fin:' .. session,
    P .. 'c:' .. session)
  redis.call('ZREM', P .. 'names', session)
end

-- ---- what is told

local function ahead(tokens)
  local found = {}
  for _, token in ipairs(tokens) do
    local r = redis.call('HMGET', P .. 'r:' .. token, 's', 'x', 'g', 'w', 'a', 'b')
    if r[1] then
      local facts = redis.call('HGET', P .. 's:' .. r[1], 'facts') or ''
      found[#found + 1] = {token, r[1], r[2], r[3], r[4], r[5], r[6] or '', facts}
    end
  end
  return found
end

local function standing(token)
  local r = redis.call('HMGET', P .. 'r:' .. token, 'g', 'x', 'k', 'b')
  if r[4] then return {'breaking', token, r[4]} end
  if r[1] ~= '' then return {'granted', token, r[2]} end
  return {'waiting', token, ahead(blockers(token, split(r[3]), r[2] == '1', MOST_AHEAD))}
end

-- Wake the sessions that were granted something, and return what this one was granted.
local function tell()
  local names, seen, mine = {}, {}, {}
  for _, one in ipairs(news) do
    if one[2] == ME then mine[#mine + 1] = one[1]
    elseif not seen[one[2]] then
      seen[one[2]] = true
      names[#names + 1] = one[2]
    end
  end
  if #names > 0 then
    local volume = string.match(BASE, '^{volumelease:(.*)}:$')
    redis.call('PUBLISH', 'volumelease:{' .. volume .. '}:bell', table.concat(names, ' '))
  end
  return mine
end

-- ---- sessions and their numbers

-- {counter, floor, rejoined} of the session that calls, or nil if it is over.
local function session()
  local me = redis.call('HMGET', P .. 's:' .. ME, 'counter', 'floor', 'rejoined')
  if me[1] then return {tonumber(me[1]), tonumber(me[2]), tonumber(me[3])} end
end

-- Every number below the floor that is not live is finished, and so is every one in fin.
local function finished(me, number)
  return tonumber(number) < me[2] or redis.call('ZSCORE', P .. 'fin:' .. ME, number)
end

-- A number is finished from now on. What came with a reclaim is below the floor while it lives,
-- so it is remembered by itself: a copy of the reclaim may be on its way.
local function finish(me, number, floor)
  floor = tonumber(floor)
  if floor > tonumber(number) and tonumber(number) >= me[3] then
    if floor > me[2] then redis.call('HSET', P .. 's:' .. ME, 'floor', floor) end
  else
    redis.call('ZADD', P .. 'fin:' .. ME, number, number)
  end
end

-- In a grace a circle can close with a request that is older than the others: who rejoined early
-- asked for what was free until its holder named it too. So those who wait are looked through,
-- youngest first, and who closes a circle is ended: its session hears of it, asks again under a new
-- number, and is told of the circle then. Who has nothing else closes none. In a table so large that
-- the steps don't suffice, the rest of those who do have something else ask again too, unlooked: it
-- costs them their place.
local function open_circles(waiting)
  local ordered, left = sorted(waiting), MOST_STEPS
  for index = #ordered, 1, -1 do
    local token, cycle = ordered[index], nil
    local r = redis.call('HMGET', P .. 'r:' .. token, 's', 'o', 'k', 'x', 'g')
    if r[1] and r[5] == '' and redis.call('SCARD', owners(r[1], r[2])) > 1 then
      if left > 0 then cycle, left = circle(token, owners(r[1], r[2]), r[3], r[4], left) end
      if cycle or left <= 0 then
        take_away(token)
        erase(token)
      end
    end
  end
end

-- Nobody can name anything from before any more: whoever waits may go ahead.
local function end_grace()
  GRACE = ''
  redis.call('HSET', STATE, 'grace', '')
  local waiting = {}
  for _, name in ipairs(redis.call('ZRANGE', P .. 'names', 0, -1)) do
    for _, token in ipairs(redis.call('HVALS', P .. 'of:' .. name)) do waiting[token] = true end
  end
  open_circles(waiting)
  grant(waiting)
end

-- ---- the memory of the server

local function drop()
  for _, name in ipairs(redis.call('ZRANGE', P .. 'names', 0, -1)) do
    for _, token in ipairs(redis.call('HVALS', P .. 'of:' .. name)) do erase(token) end
    redis.call('DEL', P .. 's:' .. name, P .. 'of:' .. name, P .. 'fin:' .. name, P .. 'c:' .. name)
  end
  redis.call('DEL', P .. 'names', P .. 'marked')
end

-- What is left of before may be old: nothing of it counts, and nothing new is granted until
-- somebody watched this nonce for a ttl. Those who hold name what they hold.
local function forget(life, named, stored)
  if stored > 0 then
    P = BASE .. string.format('%.0f', stored) .. ':'
    drop()
  end
  local clock = tonumber(redis.call('TIME')[1]) - EPOCH
  INCARNATION = math.max(clock, stored + 1, named + 1, 1)
  GRACE, NONCE = ARGV[2], ARGV[2]
  redis.call('DEL', STATE)
  redis.call('HSET', STATE, 'life', life, 'incarnation', string.format('%.0f', INCARNATION),
    'sequence', '0', 'grace', GRACE, 'nonce', GRACE)
end

-- Of this line of masters: a server that was started again has another one, and so has a replica
-- that was promoted, and one that was a replica in between. (A master whose last replica has been
-- gone for long takes a new one too: a grace for nothing.)
local function lives()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
    or string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end

-- The policy by which this server may throw away parts of the table to make room, and so a lease;
-- or nil. No session begins there.
local function evicts()
  local memory = redis.call('INFO', 'memory')
  local most = string.match(memory, 'maxmemory:(%d+)')
  local policy = string.match(memory, 'maxmemory_policy:([%w-]+)')
  if most and most ~= '0' and policy and string.sub(policy, 1, 7) == 'allkeys' then return policy end
end

local function renewed()
  return {'incarnation', string.format('%.0f', INCARNATION), GRACE, NONCE}
end

-- Look whether this is the memory the caller knows. Returns what to reply if not. With "urgent",
-- the call goes on even where the memory is full: it begins with something that needs none. With
-- "trusting", whether the server ended in between is looked at later, if it matters ("doubt").
local function begin(urgent, trusting)
  local state = redis.call('HMGET', STATE, 'life', 'incarnation', 'grace', 'ended', 'log', 'nonce')
  local known, nonce = string.match(ARGV[1], '^(%d+) ?(.*)$')
  local named, stored = tonumber(known), tonumber(state[2] or '0')
  -- Only an identity that moved the leases back names more than what was known here at the end.
  if state[4] and named <= stored then return {'ended', state[4], state[5]} end
  local life = not trusting and lives()
  if urgent then redis.call('DEL', BASE .. 'none') end
  local another = named == stored and nonce ~= '' and nonce ~= state[6]
  if (life and state[1] ~= life) or named > stored or another then
    forget(life or lives(), named, stored)
  else
    INCARNATION, GRACE, NONCE = stored, state[3], state[6]
  end
  P = BASE .. string.format('%.0f', INCARNATION) .. ':'
  if named ~= INCARNATION and named ~= 0 then return renewed() end
end

-- What a call that trusted asks before it says what can't be taken back. Returns what to reply if
-- this memory is older than it looks.
local function doubt()
  local life = lives()
  if redis.call('HGET', STATE, 'life') == life then return nil end
  forget(life, INCARNATION, INCARNATION)
  return renewed()
end

local function named(sequence) return string.format('%010.0f-%010.0f', INCARNATION, sequence) end

local function last_token() return named(redis.call('HGET', STATE, 'sequence')) end

-- The next token, or nil when this incarnation has no more: then the next one has begun.
local function next_token()
  local sequence = redis.call('HINCRBY', STATE, 'sequence', 1)
  if sequence > MOST then
    forget(lives(), INCARNATION, INCARNATION)
    return nil
  end
  return named(sequence)
end
