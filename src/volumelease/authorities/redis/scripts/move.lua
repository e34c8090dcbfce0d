-- End this table for good: another authority grants from here on. Only for who holds the whole
-- volume exclusively, so that nobody else holds anything. Asked again, it says so again.
--
-- KEYS, ARGV[1..4]  see table.lua; with ARGV[1] above what is known here, the next one begins
-- ARGV[5]  the number of the request that holds the volume
-- ARGV[6]  the authority
-- ARGV[7]  the log that was made for it, and is the only one that may take its place
-- Reply    {"ended", authority, log}; {"void"}

local other = begin(true)
if other then return other end
if not session() then return {'unknown'} end
local token = redis.call('HGET', P .. 'of:' .. ME, ARGV[5])
local r = token and redis.call('HMGET', P .. 'r:' .. token, 'g', 'x', 'k', 'b')
if GRACE ~= '' or not r or r[1] == '' or r[2] ~= '1' or r[3] ~= '' or r[4] then return {'void'} end
drop()
redis.call('HSET', STATE, 'ended', ARGV[6], 'log', ARGV[7])
return {'ended', ARGV[6], ARGV[7]}
