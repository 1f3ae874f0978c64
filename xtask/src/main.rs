//! onlooker's own commands: `cargo xtask build`, `run`, `test`, `bench` and their parts. One file a command.

mod apt;
mod bench;
mod build;
mod collector;
mod deny;
mod deploy;
mod dist;
mod fmt;
mod fuzz;
mod lint;
mod privileges;
mod programs;
mod run;
mod shell;
mod stage;
mod test;
mod tidy;
mod toolchain;
mod vm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// onlooker's own commands
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Find or install the eBPF toolchain and build target/release/onlooker
    Build(build::Options),
    /// Build, then start onlooker with the privileges it needs: `cargo xtask run -- ARGS`
    Run(run::Options),
    /// Install what tests drive, then run every check and every test: `cargo xtask test [FILTER]`
    Test(test::Options),
    /// Measure what onlooker costs and whether its counts are exact: `cargo xtask bench [NAME…]`
    Bench(bench::Options),
    /// Run the tests on other kernels, under qemu: `cargo xtask vm [NAME…|all]`
    Vm(vm::Options),
    /// Check what lies under deploy/ by the tools that read it, or write its generated files anew
    Deploy(deploy::Options),
    /// Build what is given to others, under target/dist: static program, packages, image, SBOM, licences, sums
    Dist(dist::Options),
    /// Check what keeps the architecture true
    Tidy,
    /// Format every crate
    Fmt(fmt::Options),
    /// Run clippy on both sides
    Lint,
    /// Run the fuzz targets, each for some seconds: `cargo xtask fuzz [TARGET]`
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Build(options) => build::run(&options).map(drop),
        Command::Run(options) => run::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Vm(options) => vm::run(&options),
        Command::Deploy(options) => deploy::run(&options).map(drop),
        Command::Dist(options) => dist::run(&options),
        Command::Tidy => tidy::run(),
        Command::Fmt(options) => fmt::run(&options),
        Command::Lint => lint::run(),
        Command::Fuzz(options) => fuzz::run(&options).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_line_can_be_read() {
        Cli::command().debug_assert();
        let run = Cli::try_parse_from(["xtask", "run", "--debug", "--", "--summary=never"]);
        assert!(matches!(run.map(|cli| cli.command), Ok(Command::Run(_))));
        assert!(Cli::try_parse_from(["xtask", "test", "wire", "--except", "fuzz"]).is_ok());
        assert!(Cli::try_parse_from(["xtask", "test", "--no-kernels"]).is_ok());
        assert!(Cli::try_parse_from(["xtask", "bench", "nginx", "--rounds", "2", "--quick"]).is_ok());
        assert!(Cli::try_parse_from(["xtask", "deploy", "--write"]).is_ok());
        assert!(Cli::try_parse_from(["xtask", "dist", "--check", "--smoke", "--arch", "amd64"]).is_ok());
        assert!(Cli::try_parse_from(["xtask", "dist", "--arch", "vax"]).is_err());
        assert!(Cli::try_parse_from(["xtask", "vm", "6.1", "7", "--fast", "--", "wire"]).is_ok());
    }
}
