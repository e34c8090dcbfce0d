-- What release.lua does to a lease that nobody waits for, or only others that want the same path
-- exclusively: then it is the oldest one's turn. See quick/acquire.lua. Keys, arguments, reply: see
-- release.lua.

do
  local call = redis.call
  local state = call('HMGET', KEYS[1], 'incarnation', 'sequence', 'ended', 'grace', 'life', 'nonce')
  if state[1] and state[1] .. ' ' .. state[6] == ARGV[1] and not state[3] then
    local P, me, number = string.sub(KEYS[1], 1, -6) .. state[1] .. ':', ARGV[3], ARGV[5]
    local session = call('HMGET', P .. 's:' .. me, 'floor', 'rejoined')
    local token = session[1] and call('HGET', P .. 'of:' .. me, number)
    local r = token and call('HMGET', P .. 'r:' .. token, 'g', 'x', 'k', 'o', 'c', 'b')
    if r and r[1] ~= '' and not r[6] and not string.find(r[3], '\0', 1, true)
      and tonumber(ARGV[6]) > tonumber(number) and tonumber(number) >= tonumber(session[2]) then
      local key, exclusive, client = r[3], r[2] == '1', r[5]
      local x, X, z, Z = P .. 'x:', P .. 'X:', P .. 'z:', P .. 'Z:'
      local own, below = exclusive and x or z, exclusive and X or Z
      local there, places = {X .. key, exclusive and z .. key or x .. key}, {own .. key}
      if exclusive then there[3] = Z .. key end
      local function above(upper)
        there[#there + 1] = x .. upper
        if exclusive then there[#there + 1] = z .. upper end
        places[#places + 1] = below .. upper
      end
      for at in string.gmatch(key, '()/') do above(string.sub(key, 1, at - 1)) end
      if key ~= '' then above('') end
      local alone, heir, theirs = #there < 500 and call('EXISTS', unpack(there)) == 0
      if alone and exclusive then
        local line = call('ZRANGE', own .. key, 0, 1)
        alone, heir = line[1] == token, line[2]
      end
      if alone and heir then
        theirs = call('HMGET', P .. 'r:' .. heir, 's', 'g', 'k')
        -- Granted by this memory, which must not be older than it looks.
        alone = theirs[2] == '' and theirs[3] == key and state[4] == ''
          and state[5] == string.match(call('INFO', 'replication'), 'master_replid:(%x+)')
      end
      if alone then
        call('DEL', P .. 'r:' .. token)  -- first: where the memory is full, this is still allowed
        call('HDEL', P .. 'of:' .. me, number)
        call('SREM', P .. 'o:' .. me .. '\0' .. r[4], token)
        if client ~= '' and call('HINCRBY', P .. 'c:' .. me, client, -1) < 1 then
          call('HDEL', P .. 'c:' .. me, client)
        end
        for _, place in ipairs(places) do call('ZREM', place, token) end
        local sequence = tonumber(state[2]) + 1
        call('HSET', KEYS[1], 'sequence', sequence)
        if exclusive and call('EXISTS', P .. 'past') == 1 then
          call('ZADD', P .. 'past', sequence, token .. '\0' .. me .. '\0' .. key)
        end
        if tonumber(ARGV[6]) > tonumber(session[1]) then
          call('HSET', P .. 's:' .. me, 'floor', ARGV[6])
        end
        local mine = {}
        if heir then
          call('HSET', P .. 'r:' .. heir, 'g', ARGV[4])
          if theirs[1] == me then mine[1] = heir
          else
            local volume = string.match(KEYS[1], '^{volumelease:(.*)}:state$')
            call('PUBLISH', 'volumelease:{' .. volume .. '}:bell', theirs[1])
          end
        end
        return {'released', mine, string.format('%010d-%010d', state[1], sequence)}
      end
    end
  end
end
