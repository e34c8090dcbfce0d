-- What acquire.lua does when nobody is in the way, in a third of the time: most of it is making the
-- functions of table.lua, which are not there yet. It stands in front of both, and changes nothing
-- unless it replies. Keys, arguments, reply: see acquire.lua.

do
  local call = redis.call
  local state = call('HMGET', KEYS[1], 'incarnation', 'grace', 'life', 'sequence', 'ended')
  local key, exclusive = ARGV[9], ARGV[7] == '1'
  if state[1] == ARGV[1] and state[2] == '' and not state[5]
    and state[3] == string.match(call('INFO', 'replication'), 'master_replid:(%x+)')
    and not string.find(key, '\0', 1, true) and tonumber(state[4]) < 4294967295 then
    local P, me, number = string.sub(KEYS[1], 1, -6) .. state[1] .. ':', ARGV[3], ARGV[5]
    local floor = call('HGET', P .. 's:' .. me, 'floor')
    if floor and tonumber(number) >= tonumber(floor)
      and not call('HGET', P .. 'of:' .. me, number)
      and not call('ZSCORE', P .. 'fin:' .. me, number) then
      local x, X, z, Z = P .. 'x:', P .. 'X:', P .. 'z:', P .. 'Z:'
      local own, below = exclusive and x or z, exclusive and X or Z
      local there, places = {x .. key, X .. key}, {}
      if exclusive then there[3], there[4] = z .. key, Z .. key end
      local function above(upper)
        there[#there + 1] = x .. upper
        if exclusive then there[#there + 1] = z .. upper end
        places[#places + 1] = below .. upper
      end
      for at in string.gmatch(key, '()/') do above(string.sub(key, 1, at - 1)) end
      if key ~= '' then above('') end
      if #there < 500 and call('EXISTS', unpack(there)) == 0 then
        local sequence, client = tonumber(state[4]) + 1, ARGV[11]
        local token = string.format('%010d-%010d', state[1], sequence)
        call('HSET', KEYS[1], 'sequence', sequence)
        call('HSET', P .. 'r:' .. token, 's', me, 'n', number, 'o', ARGV[8], 'x', ARGV[7],
          'g', ARGV[4], 'k', key, 'a', ARGV[10], 'w', ARGV[4], 'c', client)
        call('HSET', P .. 'of:' .. me, number, token)
        call('SADD', P .. 'o:' .. me .. '\0' .. ARGV[8], token)
        if client ~= '' then call('HINCRBY', P .. 'c:' .. me, client, 1) end
        call('ZADD', own .. key, 0, token)
        for _, place in ipairs(places) do call('ZADD', place, 0, token) end
        return {'granted', token, ARGV[7]}
      end
    end
  end
end
