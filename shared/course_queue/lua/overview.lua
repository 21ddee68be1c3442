-- Count what some queues hold, as RQ counts it. Reads only.
-- ARGV: queue names
-- Returns per queue {queued, deferred, scheduled, started, finished, failed, canceled, description}; the description is
-- that of any one of its jobs, or '' when none is left. What stands in the place of a list or a set counts as nothing.
local REGISTRIES = {'deferred', 'scheduled', 'wip', 'finished', 'failed', 'canceled'}

local function number(reply)
  return type(reply) == 'number' and reply or 0
end

local function description_of(id)
  local text = type(id) == 'string' and redis.pcall('HGET', 'rq:job:' .. id, 'description')
  return type(text) == 'string' and text
end

local function newest(registry, name)
  return redis.pcall('ZRANGE', 'rq:' .. registry .. ':' .. name, -1, -1)[1]
end

local counts = {}
for i, name in ipairs(ARGV) do
  local queue = 'rq:queue:' .. name
  local row = {number(redis.pcall('LLEN', queue))}
  for _, registry in ipairs(REGISTRIES) do
    row[#row + 1] = number(redis.pcall('ZCARD', 'rq:' .. registry .. ':' .. name))
  end
  row[#row + 1] = description_of(redis.pcall('LINDEX', queue, 0)) or description_of(newest('finished', name))
    or description_of(newest('failed', name)) or ''
  counts[i] = row
end
return counts
