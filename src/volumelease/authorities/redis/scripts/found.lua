-- Begin the table of a volume that a person says is new: it grants at once. Changes nothing where
-- there is one.
--
-- KEYS, ARGV[1..4]  see table.lua
-- Reply  {"founded" or "exists", grace}

local state = redis.call('HMGET', STATE, 'incarnation', 'grace', 'ended')
if state[3] then return {'ended', state[3]} end
if state[1] then return {'exists', state[2]} end
forget(lives(), tonumber(ARGV[1]), 0)
redis.call('HSET', STATE, 'grace', '')
return {'founded', ''}
