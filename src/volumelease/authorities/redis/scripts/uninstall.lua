-- Remove all that is kept of a volume which is no more. A session of it that still calls is told of
-- a memory that forgot; its grace ends only by what the volume says, so never.
--
-- KEYS[1]  see table.lua
-- Reply    {"removed"}

local state = redis.call('HGET', STATE, 'incarnation')
if state then
  P = BASE .. state .. ':'
  drop()
  redis.call('DEL', P .. 'past')
end
redis.call('DEL', STATE, BASE .. 'reports', BASE .. 'none')
return {'removed'}
