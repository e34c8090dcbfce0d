-- What look.lua says of one request that is granted: to who was just rung for, or is about to
-- publish. See quick/acquire.lua. Keys, arguments, reply: see look.lua.

if #ARGV == 6 then
  local call = redis.call
  local state = call('HMGET', KEYS[1], 'incarnation', 'grace', 'life', 'ended')
  if state[1] == ARGV[1] and state[2] == '' and not state[4]
    and state[3] == string.match(call('INFO', 'replication'), 'master_replid:(%x+)') then
    local P = string.sub(KEYS[1], 1, -6) .. state[1] .. ':'
    local token = call('HGET', P .. 'of:' .. ARGV[3], ARGV[6])
    local r = token and call('HMGET', P .. 'r:' .. token, 'g', 'b')
    if r and r[1] and r[1] ~= '' and not r[2] then
      return {'look', '', {ARGV[6], 'granted'}, {}, call('SMEMBERS', P .. 'marked')}
    end
  end
end
