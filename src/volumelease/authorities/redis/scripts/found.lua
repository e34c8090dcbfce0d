-- Begin the table of a volume that a person says is new: it grants at once. Changes nothing where
-- there is one. In two calls: the second ends the grace that the first began, and names it, so that
-- no copy which was long on its way lets a server that forgot grant at once.
--
-- KEYS, ARGV[1..4]  see table.lua
-- ARGV[5]  the nonce of the first call, in the second
-- Reply  {"founded" or "exists", grace}

local state = redis.call('HMGET', STATE, 'incarnation', 'grace', 'ended', 'life')
if state[3] then return {'ended', state[3]} end
if not state[1] and not ARGV[5] then
  forget(lives(), tonumber(ARGV[1]), 0)
  return {'founded', GRACE}
end
if state[1] and ARGV[5] and state[2] == ARGV[5] and state[4] == lives() then
  P = BASE .. state[1] .. ':'
  end_grace()
  tell()
  return {'founded', ''}
end
return {'exists', state[2] or ''}
