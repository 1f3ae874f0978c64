//! `onlooker`: see `--help`.

use onlooker::cli::{self, Build, Command};
use onlooker::{agent, doctor, kernel, logging, reference};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let build = Build {
        kernel_side: kernel::loader::object_bytes(),
    };
    let env = |name: &str| std::env::var(name).ok();
    let invocation = match cli::parse(std::env::args_os(), &env, build) {
        Ok(invocation) => invocation,
        Err(exit) if exit.code == 0 => {
            print!("{}", exit.text);
            return ExitCode::SUCCESS;
        }
        Err(exit) => {
            eprint!("{}", exit.text);
            return ExitCode::from(exit.code);
        }
    };
    let result = match invocation.command {
        Command::CheckConfig => {
            print!("{}", cli::report(&invocation.settings));
            Ok(())
        }
        Command::Metrics => {
            print!("{}", reference::markdown());
            Ok(())
        }
        Command::Doctor { json } => {
            let report = doctor::examine(&invocation.config, &invocation.problems, &env);
            let text = if json {
                serde_json::to_string_pretty(&report).map(|text| text + "\n")
            } else {
                let colour = std::io::stdout().is_terminal() && env("NO_COLOR").is_none_or(|value| value.is_empty());
                Ok(report.text(colour))
            };
            match text
                .map_err(anyhow::Error::from)
                .and_then(|text| Ok(std::io::stdout().write_all(text.as_bytes())?))
            {
                Ok(()) => return ExitCode::from(report.exit_code()),
                Err(error) => Err(error),
            }
        }
        Command::Run => logging::init(invocation.config.log)
            .map_err(anyhow::Error::from)
            .and_then(|()| agent::run(&invocation.config)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("onlooker: {error:#}");
            ExitCode::FAILURE
        }
    }
}
