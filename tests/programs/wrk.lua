-- Asks for the paths given behind `--` in turn, and tells at the end how many answers of each status came whole.
-- With `close` as the first of them every request has a connection of its own.

local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

function init(args)
    turn = 0
    statuses = {}
    requests = {}
    for _, word in ipairs(args) do
        if word == "close" then
            wrk.headers["Connection"] = "close"
        else
            table.insert(requests, wrk.format("GET", word))
        end
    end
end

function request()
    turn = turn % #requests + 1
    return requests[turn]
end

function response(status)
    statuses[status] = (statuses[status] or 0) + 1
end

function done(summary)
    local counts = {}
    for _, thread in ipairs(threads) do
        for status, count in pairs(thread:get("statuses")) do
            counts[status] = (counts[status] or 0) + count
        end
    end
    local parts = {}
    for status, count in pairs(counts) do
        table.insert(parts, string.format('"%d":%d', status, count))
    end
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.timeout
    io.write(string.format('{"statuses":{%s},"failed":%d}\n', table.concat(parts, ","), failed))
end
