-- Keep what a session counted, for whoever shows the whole fleet. Not part of the table, and of no
-- incarnation.
--
-- KEYS, ARGV[1..4]  see table.lua
-- ARGV[5]  its counts
-- Reply    {"reported"}

if redis.call('HGET', BASE .. 'reports', 'folded:' .. ME) then return {'reported'} end
redis.call('HSET', BASE .. 'reports', 'session:' .. ME, ARGV[5])
return {'reported'}
