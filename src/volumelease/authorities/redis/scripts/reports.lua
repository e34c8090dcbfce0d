-- What all sessions counted. Changes nothing.
--
-- KEYS, ARGV[1..4]  see table.lua
-- Reply  {"reports", {field, value, ...}, {session ...}}; the fields are total, session:<session>
--        and folded:<session>; the sessions are those that live

local state = redis.call('HGET', STATE, 'incarnation')
local live = {}
if state then live = redis.call('ZRANGE', BASE .. state .. ':names', 0, -1) end
return {'reports', redis.call('HGETALL', BASE .. 'reports'), live}
