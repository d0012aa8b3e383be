//! Arguments in, exit code out.

fn main() -> std::process::ExitCode {
    crondag::cli::main()
}
