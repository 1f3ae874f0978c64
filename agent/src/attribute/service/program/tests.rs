use super::*;
use proptest::prelude::*;

fn check(exe: &str, command: &str, name: &str) {
    let args = command.replace(' ', "\0") + "\0";
    let program = Program::new(exe.as_bytes(), args.as_bytes(), || Some(b"/srv/billing".to_vec()));
    let found = program.script.as_deref().or(program.exe_name.as_deref());
    assert_eq!(found, Some(name), "{exe} {command}");
}

fn titled(exe: &str, title: &str, name: &str) {
    let program = Program::new(exe.as_bytes(), (title.to_owned() + "\0\0\0").as_bytes(), || None);
    let found = program.script.as_deref().or(program.exe_name.as_deref());
    assert_eq!((found, program.command), (Some(name), None), "{exe} {title}");
}

#[test]
fn python() {
    let py = "/usr/bin/python3.11";
    check(py, "python app.py", "app");
    check(py, "python3 -u /srv/shop/orders.py --port 80", "orders");
    check(py, "python3 -X dev -W ignore -OO main.py", "main");
    check(py, "python3 -Xdev main.py", "main");
    check(py, "python3 -m http.server 8000", "http.server");
    check(py, "python3 -um shop.web", "shop.web");
    check(py, "python3 -mshop.__main__", "shop");
    check(py, "python3 -m flask --app shop run", "shop");
    check(py, "python3 -m flask run --port 80", "flask");
    check(py, "/usr/bin/python3 /usr/local/bin/flask -A shop.py run", "shop");
    check(py, "python3 /usr/bin/flask --app=shop:create_app run", "shop");
    check(py, "python3 /usr/bin/uvicorn --host localhost:80 main:app", "main");
    check(py, "python3 -m uvicorn app.main:app --reload", "app");
    check(
        py,
        "python3 /usr/bin/gunicorn -b unix:/run/x.sock -w 4 shop.wsgi:application",
        "shop",
    );
    check(
        py,
        "python3 /usr/bin/gunicorn -b 127.0.0.1:80 services.billing.api:app",
        "services.billing.api",
    );
    check(py, "python3 /usr/bin/gunicorn -w 4 shop", "shop");
    check(py, "python3 /usr/bin/gunicorn -c conf", "gunicorn");
    check(py, "python3 /usr/bin/hypercorn shop:app()", "shop");
    check(py, "python3 /usr/bin/celery -A shop worker", "shop");
    check(py, "python3 -m celery --app=shop.tasks worker", "shop.tasks");
    check(py, "python3 /usr/bin/streamlit run /srv/board.py", "board");
    check(py, "python3 manage.py runserver", "manage");
    check(py, "python3 -c secret=1", "python3.11");
    check(py, "python3 -uc secret=1", "python3.11");
    check(py, "python3 -", "python3.11");
    check(py, "python3", "python3.11");
    check("/usr/bin/pypy3", "pypy3 shop.py", "shop");
    titled(py, "gunicorn: master [shop.wsgi:application]", "shop");
    titled(py, "gunicorn: worker [shop]", "shop");
    titled(py, "celeryd: celery@host:MainProcess", "celeryd");
}

#[test]
fn node_and_kin() {
    let node = "/usr/bin/node";
    check(node, "node server.js", "server");
    check(
        node,
        "node --max-old-space-size=512 -r dotenv/config /srv/billing/server.mjs",
        "server",
    );
    check(node, "node --import ./otel.js index.js", "index");
    check(node, "node --require=./x.js index.js", "index");
    check(node, "node /srv/shop", "shop");
    check(node, "node .", "billing");
    check(node, "node ./", "billing");
    check(node, "node -e secret()", "node");
    check(node, "node", "node");
    check(node, "node /app/node_modules/.bin/next start", "next");
    check(node, "node /app/node_modules/.bin/ts-node --esm src/api.ts", "api");
    check("/usr/bin/node18", "node18 -- api.js", "api");
    titled(node, "next-server (v14.1)", "next-server");
    check("/usr/bin/deno", "deno run -A --port=80 main.ts", "main");
    check("/usr/bin/deno", "deno serve -c deno.json web.ts", "web");
    check("/usr/bin/deno", "deno eval secret", "deno");
    check("/usr/local/bin/bun", "bun run server.ts", "server");
    check("/usr/local/bin/bun", "bun --preload x.ts server.ts", "server");
}

#[test]
fn java() {
    let java = "/usr/lib/jvm/java-17/bin/java";
    check(java, "java -jar shop.jar --server.port=80", "shop");
    check(
        java,
        "java -Xmx1g -Dpassword=secret -javaagent:/otel.jar -jar /srv/shop-1.2.3.jar",
        "shop-1.2.3",
    );
    check(java, "java -cp /a.jar:/b.jar com.acme.Shop --x", "com.acme.Shop");
    check(
        java,
        "java --class-path=/a.jar --add-opens java.base/java.lang=ALL-UNNAMED com.acme.Shop",
        "com.acme.Shop",
    );
    check(java, "java -p mods -m acme.shop/com.acme.Shop", "acme.shop");
    check(java, "java --module=acme.shop", "acme.shop");
    check(java, "java @args Server.java", "Server");
    check(java, "java -version", "java");
}

#[test]
fn other_interpreters() {
    check("/usr/bin/ruby3.1", "ruby -I lib bin/rails server", "rails");
    check("/usr/bin/ruby3.1", "ruby /usr/bin/puma -p 80", "puma");
    titled("/usr/bin/ruby3.1", "puma 6.4.0 (tcp://0.0.0.0:3000) [shop]", "shop");
    titled("/usr/bin/ruby3.1", "sidekiq 7.1.2 shop [0 of 5 busy]", "sidekiq");
    check("/usr/bin/perl", "perl -w -Ilib shop.pl", "shop");
    check("/usr/bin/perl", "perl -e secret", "perl");
    check("/usr/bin/php8.2", "php -S 0.0.0.0:80 -t public router.php", "router");
    check("/usr/bin/php8.2", "php -S 0.0.0.0:80", "php8.2");
    check("/usr/bin/php8.2", "php artisan serve", "artisan");
    check("/usr/bin/php8.2", "php -f shop.php", "shop");
    check("/usr/share/dotnet/dotnet", "dotnet /app/Shop.Api.dll", "Shop.Api");
    check(
        "/usr/share/dotnet/dotnet",
        "dotnet exec --depsfile x.json Shop.dll",
        "Shop",
    );
    check("/usr/share/dotnet/dotnet", "dotnet run --project Shop", "dotnet");
    check(
        "/usr/lib/R/bin/exec/R",
        "R --no-echo --no-restore --file=api.R --args 1",
        "api",
    );
    check("/usr/bin/Rscript", "Rscript --vanilla api.R", "api");
    check("/bin/bash", "bash -eu -o pipefail /srv/run.sh x", "run");
    check("/bin/bash", "-bash", "bash");
    check("/bin/bash", "bash /proc/self/fd/3", "bash");
    check("/bin/bash", "bash /dev/stdin", "bash");
    check("/bin/bash", "bash -lc secret", "bash");
    check("/bin/dash", "sh -c secret", "dash");
    check(
        "/usr/lib/erlang/bin/beam.smp",
        "beam.smp -W w -- -root /usr -sname rabbit@host",
        "rabbit",
    );
    check(
        "/usr/lib/erlang/bin/beam.smp",
        "beam.smp -W w -- -root /usr",
        "beam.smp",
    );
    check("/usr/bin/lua5.4", "lua5.4 -l x shop.lua", "shop");
}

#[test]
fn executables() {
    check("/usr/sbin/nginx", "nginx -g daemon", "nginx");
    titled("/usr/sbin/nginx", "nginx: worker process", "nginx");
    titled("/usr/sbin/nginx", "nginx: master process /usr/sbin/nginx -g x", "nginx");
    titled(
        "/usr/lib/postgresql/15/bin/postgres",
        "postgres: shop shop 10.0.0.1(5000) idle",
        "postgres",
    );
    check("/srv/shop (deleted)", "/srv/shop", "shop");
    check("/memfd:shop (deleted)", "shop", "shop");
    check(
        "/memfd:runc_cloned:/proc/self/exe (deleted)",
        "runc init",
        "runc_cloned",
    );
    check("/bin/busybox", "httpd -f", "httpd");
    check("/bin/busybox", "busybox httpd -f", "httpd");
    check("/bin/busybox", "busybox --list", "busybox");
    check("./shop", "./shop", "shop");
    check("", "/opt/shop/bin/shop --x", "shop");
    check("", "-zsh", "zsh");
    check("", "python3 app.py", "app");
    titled("", "nginx: worker process", "nginx");
    titled("", "postgres: shop shop 10.0.0.1(5000) idle", "postgres");
    check("/usr/sbin/php-fpm8.2", "php-fpm8.2", "php-fpm8.2");
}

#[test]
fn a_script_with_an_interpreter_line_is_named_before_proc_is_read() {
    check("/srv/orders.py", "/usr/bin/python3 /srv/orders.py --port 80", "orders");
    check("/srv/x", "/bin/sh -e /srv/x", "x");
    check("/usr/bin/env", "/usr/bin/env python3 app.py", "env");
}

#[test]
fn nothing_known_and_hostile_bytes() {
    assert_eq!(Program::new(b"", b"", || None), Program::default());
    let program = Program::new(b"/usr/bin/python3", b"python3\0\xff\x1b[2J.py\0", || None);
    assert_eq!(program.script.as_deref(), Some("\u{fffd}_[2J"));
    let long = [b"/usr/bin/".as_slice(), &[b'x'; 400]].concat();
    assert!(
        Program::new(&long, b"", || None)
            .exe_name
            .is_some_and(|name| name.len() == text::NAME_MAX)
    );
    for cut in 0..40 {
        let line = b"python3\0-um\0flask\0--app\0shop:app\0run\0-b";
        Program::new(b"/usr/bin/python3", &line[..cut.min(line.len())], || None);
    }
}

#[test]
fn runtimes() {
    for (exe, runtime) in [
        ("/usr/bin/python3.11", Some("cpython")),
        ("/usr/bin/pypy3", Some("pypy")),
        ("/usr/bin/node", Some("nodejs")),
        ("/usr/bin/java", None),
        ("/usr/sbin/nginx", None),
    ] {
        assert_eq!(Program::new(exe.as_bytes(), b"x\0", || None).runtime, runtime, "{exe}");
    }
}

/// Words that mean something to the rules, between any bytes.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "python3",
        "/usr/bin/python3",
        "java",
        "node",
        "bash",
        "beam.smp",
        "busybox",
        "-m",
        "-um",
        "-c",
        "-jar",
        "-",
        "--",
        ".",
        "..",
        "/",
        "--app=",
        "-A",
        "flask",
        "gunicorn",
        "a:b",
        ":",
        "[",
        "]",
        "x [y] z",
        "=",
        "-o",
        "@",
        "-sname",
    ]);
    let word = prop_oneof![
        known.prop_map(|word| word.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..12)
    ];
    prop::collection::vec(word, 0..8).prop_map(|words| words.join(&0))
}

proptest! {
    #[test]
    fn any_command_line_gives_a_bounded_name(exe in words(), args in words()) {
        let program = Program::new(&exe, &args, || Some(args.clone()));
        for name in [&program.script, &program.exe_name, &program.command].into_iter().flatten() {
            prop_assert!(!name.is_empty() && name.len() <= text::NAME_MAX && !name.contains(char::is_control));
        }
    }
}
