-- A message's status: first what it is, then that more content waits, which counts before a backoff.
local function status(mid)
  if redis.call('HEXISTS', messages, mid) == 0 then return false end
  local rests = now < tonumber(redis.call('HGET', backoffs, mid) or 0)
  local waits = redis.call('HEXISTS', messages_rq, mid) == 1 or redis.call('SISMEMBER', requeue, mid) == 1
  if redis.call('SISMEMBER', done, mid) == 1 then
    return waits and 'done-with-requeue' or rests and 'done-with-backoff' or 'done-awaiting-gc'
  end
  if now < tonumber(redis.call('HGET', locks, mid) or 0) then
    return waits and 'locked-with-requeue' or 'locked'
  end
  return rests and 'queued-with-backoff' or 'queued'
end
