//! What Linux takes as one argument of a program, or as one variable of its environment.

/// Linux's `MAX_ARG_STRLEN`: the bytes of one argument or of one `NAME=value`, with the NUL at its end.
pub(crate) const LONGEST_ARGUMENT: usize = 128 << 10;

/// Whether a text of so many bytes is too long to be an argument or a variable.
pub(crate) const fn is_too_long(bytes: usize) -> bool {
    bytes >= LONGEST_ARGUMENT
}
