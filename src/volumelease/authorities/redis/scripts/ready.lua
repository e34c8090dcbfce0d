-- End a grace: its nonce was watched for a ttl, so whoever could not name what it held in the
-- memory before has lost it.
--
-- KEYS, ARGV[1..4]  see table.lua
-- ARGV[5]  the nonce
-- Reply    {"ready" or "void", what of the caller's own was granted by it}

local other = begin(true)
if other then return other end
if not session() then return {'unknown'} end
if GRACE == '' or GRACE ~= ARGV[5] then return {'void', {}} end
end_grace()
return {'ready', tell()}
