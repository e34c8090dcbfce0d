-- End another session: its counter was watched standing for a ttl, or its process is gone.
--
-- KEYS, ARGV[1..4]  see table.lua
-- ARGV[5]  which
-- ARGV[6]  the counter that stood; "": its death is proven
-- Reply    {"expired" or "void", what of the caller's own was granted by it}

local other = begin(true)
if other then return other end
if not session() then return {'unknown'} end
local counter = redis.call('HGET', P .. 's:' .. ARGV[5], 'counter')
if not counter or (ARGV[6] ~= '' and counter ~= ARGV[6]) then return {'void', {}} end
end_session(ARGV[5])
return {'expired', tell()}
