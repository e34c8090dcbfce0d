-- End the session that calls, and all it holds or waits for.
--
-- KEYS, ARGV[1..4]  see table.lua
-- Reply  {"closed"}

local other = begin(true)
if other then return other end
if not session() then return {'unknown'} end
end_session(ME)
tell()
return {'closed'}
