-- Whether the leases moved to another authority, and whether a session can begin here. Changes
-- nothing, and notices nothing.
--
-- KEYS[1]  see table.lua
-- Reply    {"memory", incarnation or "0", authority or "", log or "", policy or ""}
--          policy: by which this server would throw leases away, see open.lua

local state = redis.call('HMGET', STATE, 'incarnation', 'ended', 'log')
return {'memory', state[1] or '0', state[2] or '', state[3] or '', evicts() or ''}
