-- Wake one sleeper: they block on isleep-b and move the element back. Where it is there already, none is blocked.
local function wake()
  if redis.call('LLEN', isleep_b) == 0 and not redis.call('RPOPLPUSH', isleep_a, isleep_b) then
    redis.call('LPUSH', isleep_b, '_')
  end
end
