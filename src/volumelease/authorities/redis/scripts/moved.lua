-- Whether the leases moved to another authority. Changes nothing, and notices nothing.
--
-- KEYS[1]  see table.lua
-- Reply    {"memory", incarnation or "0", authority or "", log or ""}

local state = redis.call('HMGET', STATE, 'incarnation', 'ended', 'log')
return {'memory', state[1] or '0', state[2] or '', state[3] or ''}
