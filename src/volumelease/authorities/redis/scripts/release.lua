-- Let go of a request, granted or waiting. Its number is finished, whether it was live or not.
--
-- KEYS, ARGV[1..4]  see table.lua
-- ARGV[5]  its number
-- ARGV[6]  floor: the least number of this session that may still be asked with
-- ARGV[7]  1: cancel, also a request that waits; 0: only a lease that was granted
-- Reply    {"released" or "void", what of this session's own was granted by it, the name of the
--          last number}

local other = begin(true, true)
if other then return other end
local me = session()
if not me then return doubt() or {'unknown'} end
local token = redis.call('HGET', P .. 'of:' .. ME, ARGV[5])
if token and ARGV[7] == '0' and redis.call('HGET', P .. 'r:' .. token, 'g') == '' then
  return {'void', {}}
end
finish(me, ARGV[5], ARGV[6])
if not token then return {'void', {}} end
local keys, exclusive = erase(token)
if clear(keys, exclusive) then return {'released', {}, last_token()} end
-- Somebody may go ahead, but not by a memory that is older than it looks.
other = doubt()
if other then return other end
local candidates = {}
behind(candidates, token, keys, exclusive)
grant(candidates)
return {'released', tell(), last_token()}
