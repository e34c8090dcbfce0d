-- The names of all sessions.
--
-- KEYS, ARGV[1..4]  see table.lua
-- Reply  {"names", grace, {session ...}}

local other = begin()
if other then return other end
if not session() then return {'unknown'} end
return {'names', GRACE, redis.call('ZRANGE', P .. 'names', 0, -1)}
