-- Read the heads of several queues without taking anything off (rule A), sharing the round fairly: each course gets an
-- equal part, and what one does not need goes to the others.
-- ARGV: how many in all, then the courses, no more of them than that
-- Returns {per course {id, data, id, data, ...}, wrong keys}; data is false where the job hash is gone or is no hash.
-- What stands in a queue's place and is no list has no heads, so that it stops no other course, but is named, for
-- requests may stand behind it; with what Redis says of it.
local wrong = {}

local function length_of(course)
  local queue = 'rq:queue:course-' .. course
  local length = redis.pcall('LLEN', queue)
  if type(length) == 'number' then
    return length
  end
  if not string.find(length.err, 'WRONGTYPE', 1, true) then
    error(length)
  end
  wrong[#wrong + 1] = queue .. ': ' .. length.err
  return 0
end

local function data_of(id)
  local data = redis.pcall('HGET', 'rq:job:' .. id, 'data')
  return type(data) == 'string' and data
end

local lengths, shortest_first = {}, {}
for i = 1, #ARGV - 1 do
  lengths[i] = length_of(ARGV[i + 1])
  shortest_first[i] = i
end
table.sort(shortest_first, function(a, b) return lengths[a] < lengths[b] end)

local left, parts = tonumber(ARGV[1]), {}
for place, i in ipairs(shortest_first) do
  parts[i] = math.min(lengths[i], math.floor(left / (#shortest_first - place + 1)))
  left = left - parts[i]
end

local heads = {}
for i = 1, #ARGV - 1 do
  local head = {}
  if parts[i] > 0 then
    for _, id in ipairs(redis.call('LRANGE', 'rq:queue:course-' .. ARGV[i + 1], 0, parts[i] - 1)) do
      head[#head + 1] = id
      head[#head + 1] = data_of(id)
    end
  end
  heads[i] = head
end
return {heads, wrong}
