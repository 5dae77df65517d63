-- Remove all that is kept of some mids but their entries in the circle and its index.
local function wipe(mids)
  for _, hash in ipairs({messages, messages_rq, lock_times, lock_times_rq, udts, locks, backoffs, nattempts, fences}) do
    redis.call('HDEL', hash, unpack(mids))
  end
  redis.call('SREM', done, unpack(mids))
  redis.call('SREM', requeue, unpack(mids))
end
