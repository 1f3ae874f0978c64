//! What the names of fields mean, over all the libraries that write structured lines.

/// What a field is. A lower rank wins over a higher one; what loses is an attribute under its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// When.
    Time(u8),
    /// How bad.
    Level(u8),
    /// The message.
    Body(u8),
    /// Seconds since 1970, with [`Role::Nanos`] beside it.
    Seconds,
    /// Nanoseconds of the second.
    Nanos,
    /// Trace id, hex.
    Trace,
    /// Trace id as AWS X-Ray writes it.
    Xray,
    /// Trace id with the name of Google's project before.
    Google,
    /// Span id, hex.
    Span,
    /// W3C trace flags, or whether it was sampled.
    Flags,
    /// W3C `traceparent`.
    Parent,
    /// `file.go:12`.
    Source,
    /// Has a name in the semantic conventions.
    Named(&'static str),
    /// The same for what must be a whole number.
    NamedInt(&'static str),
}

macro_rules! keys {
    ($($($key:literal)|+ => $role:expr;)*) => {
        /// The field's name, without memory of its own, and what it is; `None` for all that are not known.
        pub(super) fn role(key: &str) -> Option<(&'static str, Role)> {
            use Role::*;
            match key {
                $($($key => Some(($key, $role)),)+)*
                _ => None,
            }
        }
    };
}

keys! {
    "@timestamp" | "@t" => Time(0);
    "timestamp" => Time(1);
    "time" => Time(2);
    "ts" | "Timestamp" => Time(3);
    "asctime" | "datetime" | "timeMillis" => Time(4);
    "instant.epochSecond" | "timestamp.seconds" | "timestampSeconds" => Seconds;
    "instant.nanoOfSecond" | "timestamp.nanos" | "timestampNanos" => Nanos;

    "log.level" | "@l" | "level_name" | "levelname" | "severity_text" | "SeverityText" => Level(0);
    "level" | "severity" | "LogLevel" => Level(1);
    "lvl" | "loglevel" | "logLevel" | "log_level" | "Level" => Level(2);

    "msg" | "@m" | "fields.message" => Body(0);
    "message" => Body(1);
    "Message" | "short_message" | "textPayload" | "@mt" => Body(2);
    "event" => Body(3);

    "trace_id" | "traceId" | "traceID" | "trace.id" | "TraceId" | "trace-id" | "traceid" | "otelTraceID" | "@tr" | "dd.trace_id"
        | "contextMap.trace_id" | "contextMap.traceId" | "mdc.trace_id" | "mdc.traceId" | "fields.trace_id" | "context.trace_id"
        | "span.trace_id" => Trace;
    "span_id" | "spanId" | "spanID" | "span.id" | "SpanId" | "span-id" | "spanid" | "otelSpanID" | "@sp" | "dd.span_id"
        | "contextMap.span_id" | "contextMap.spanId" | "mdc.span_id" | "mdc.spanId" | "fields.span_id" | "context.span_id"
        | "span.span_id" | "logging.googleapis.com/spanId" => Span;
    "trace_flags" | "traceFlags" | "TraceFlags" | "otelTraceSampled" | "logging.googleapis.com/trace_sampled" => Flags;
    "traceparent" => Parent;
    "xray_trace_id" => Xray;
    "logging.googleapis.com/trace" => Google;

    "caller" => Source;
    "file" => Source;
    "source.file" | "log.origin.file.name" | "logging.googleapis.com/sourceLocation.file" | "source.fileName"
        => Named("code.file.path");
    "source.line" | "log.origin.file.line" | "line_number" | "lineno" | "source.lineNumber" => NamedInt("code.line.number");
    "logging.googleapis.com/sourceLocation.line" => NamedInt("code.line.number");
    "func" | "funcName" | "source.function" | "log.origin.function" | "logging.googleapis.com/sourceLocation.function"
        => Named("code.function.name");
    "thread" | "thread_name" | "threadName" | "process.thread.name" => Named("thread.name");
    "thread_id" | "threadId" | "process.thread.id" => NamedInt("thread.id");
    "pid" => NamedInt("process.pid");
    "stacktrace" | "stack_trace" | "stack" | "exc_info" | "exception" | "@x" | "error.stack_trace" | "error.stack" | "err.stack"
        | "thrown.extendedStackTrace" | "exception.stack_trace" => Named("exception.stacktrace");
    "error.message" | "err.message" | "thrown.message" | "exception.message" => Named("exception.message");
    "error.type" | "err.type" | "err.name" | "error.name" | "thrown.name" | "exception_name" | "exception.type"
        => Named("exception.type");
    "client.ip" => Named("client.address");
}
