-- What all scripts share: the header of a session, and how long it has to live (core/contents.py tells the form).
-- ARGV[1] milliseconds a session may be idle (0: for ever), ARGV[2] milliseconds it may last (0: without limit)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Read a header from the beginning of what is stored; nil where there is none of this version.
local function parse(text)
  local revision, created, last, idle, rest = string.match(text, '^1 (%d+) (%d+) (%d+) ([%d-]+)\n()')
  if not revision or not (idle == '-' or string.match(idle, '^%d+$')) then
    return nil
  end
  return {
    revision = tonumber(revision), created = tonumber(created), last = tonumber(last), idle = idle, rest = rest
  }
end

-- Milliseconds until it is over unless it is used, nil for never; the stricter of its own end and the store's counts.
local function left(session)
  local idle = tonumber(session.idle) or tonumber(ARGV[1])
  local last, longest = session.last, tonumber(ARGV[2])
  if longest > 0 and (last == 0 or session.created + longest < last) then
    last = session.created + longest
  end
  if last == 0 then
    return idle > 0 and idle or nil
  end
  return idle > 0 and math.min(idle, last - now) or last - now
end

-- Store it under a key; returns 1, or 0 where its time is over.
local function put(key, session, contents)
  local head = string.format(
    '1 %.0f %.0f %.0f %s\n', session.revision + 1, session.created, session.last, session.idle
  )
  local ms = left(session)
  if ms == nil then
    redis.call('SET', key, head .. contents)
  elseif ms > 0 then
    redis.call('SET', key, head .. contents, 'PX', string.format('%.0f', ms))
  else
    return 0
  end
  return 1
end

-- A session that begins now.
local function begin(idle)
  local longest = tonumber(ARGV[2])
  return {revision = 0, created = now, last = longest > 0 and now + longest or 0, idle = idle}
end
