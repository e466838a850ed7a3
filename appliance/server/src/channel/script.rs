//! Code of the chain in a box of its own: a small language, without files, network, clock or other scripts.
//!
//! A script sees two variables: `object`, which it may change, and `context`, which says what is going on.
//! What `object` is at the end is the result; `throw "why"` (or `refuse("why")`) refuses.
//! Decimals are exact; there are no floats.
//!
//! Invariants:
//! - every run ends: operations, call depth and time are limited, and no function of the language waits;
//! - what a run holds is bounded: variables, call depth, the size of each value, and the sum of all of them by what the
//!   box holds in memory (`watch`);
//! - whatever a script does, a panic of the interpreter included, costs only its own call.

mod crew;
mod value;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use rhai::packages::{
    BasicArrayPackage, BasicMapPackage, BasicMathPackage, CorePackage, MoreStringPackage, Package,
};
use rhai::{AST, Dynamic, Engine, EvalAltResult, Scope};
use serde_json::Value;
use storebox_proto::ids::Hash32;

use crate::db::contain;

use crew::Crew;

/// Steps of one run.
pub const OPERATIONS_MAX: u64 = 500_000;
/// Wall time of one run.
pub const TIME_MAX: Duration = Duration::from_millis(250);
/// Functions that call each other.
const CALLS_MAX: usize = 8;
/// Expressions within expressions, as written.
const EXPRESSIONS_MAX: usize = 32;
/// Variables at one place; a function has its own.
const VARIABLES_MAX: usize = 16;
/// Functions of one script.
const FUNCTIONS_MAX: usize = 32;
/// Text in one value, in bytes.
const TEXT_BYTES_MAX: usize = 512 * 1024;
/// Elements of arrays in one value.
const ELEMENTS_MAX: usize = 10_000;
/// Fields of maps in one value.
const FIELDS_MAX: usize = 20_000;
/// What a run may add to the memory of the box; the tests of this crate share theirs with hundreds of others.
const MEMORY_BYTES_MAX: u64 = if cfg!(test) { 1 << 32 } else { 32 * 1024 * 1024 };
/// The clock is read once for so many steps: few, because one step may copy a whole value.
const CLOCK_EVERY: u64 = 2;
/// Scripts that are kept compiled.
const COMPILED_MAX: usize = 128;
/// Of what a script says when it refuses, so much is passed on.
const WORDS_MAX: usize = 300;

/// Why a script gives no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptFault {
    /// It does not want the call.
    #[error("{0}")]
    Refused(String),
    /// It is no script.
    #[error("is not understood: {0}")]
    Syntax(String),
    /// It came to a limit.
    #[error("is stopped: {0}")]
    Stopped(String),
    /// It failed.
    #[error("fails: {0}")]
    Failed(String),
    /// It had no turn, or its turn did not end in time.
    #[error("other scripts keep the box busy")]
    Busy,
    /// It cannot take what it would be given, or gives back what is no JSON.
    #[error("{0}")]
    Value(String),
}

/// Scripts that run at the same time; a box has two processors, and what a script holds is bounded by this too.
const AT_ONCE: usize = 2;

/// Runs scripts; cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    compiled: Cache<Hash32, Arc<AST>>,
    time_max: Duration,
    crew: Crew,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new(TIME_MAX)
    }
}

impl Sandbox {
    /// A sandbox whose runs take no longer than this.
    pub fn new(time_max: Duration) -> Self {
        let (compiled, crew) = (Cache::new(COMPILED_MAX), Crew::new(AT_ONCE));
        let inner = Inner { engine: engine(), compiled, time_max, crew };
        Self { inner: Arc::new(inner) }
    }

    /// Runs a script to its end on a thread of its own; it waits for one no longer than this.
    pub async fn run_apart(
        &self,
        source: String,
        call: Value,
        object: Value,
        turn_max: Duration,
    ) -> Result<Value, ScriptFault> {
        let own = self.clone();
        let work = move || own.run(&source, &call, object);
        match tokio::time::timeout(turn_max + self.inner.time_max, self.inner.crew.run(work)).await
        {
            Ok(Some(ran)) => ran,
            Ok(None) | Err(_) => Err(ScriptFault::Busy),
        }
    }

    /// Runs a script to its end on this thread: blocking.
    pub fn run(&self, source: &str, call: &Value, object: Value) -> Result<Value, ScriptFault> {
        let ran = contain(|| self.run_here(source, call, object));
        watch::end();
        ran.unwrap_or_else(|panic| {
            Err(ScriptFault::Failed(format!("the interpreter gave up: {}", cut(&panic))))
        })
    }

    /// Whether this is a script.
    pub fn check(&self, source: &str) -> Result<(), ScriptFault> {
        let checked = contain(|| self.compile(source).map(drop));
        checked.unwrap_or_else(|panic| Err(ScriptFault::Syntax(cut(&panic))))
    }

    fn run_here(&self, source: &str, call: &Value, object: Value) -> Result<Value, ScriptFault> {
        let ast = self.compile(source)?;
        let mut scope = Scope::new();
        scope.push_dynamic("object", value::enter(object)?);
        scope.push_constant_dynamic("context", value::enter(call.clone())?);
        watch::begin(self.inner.time_max);
        self.inner.engine.run_ast_with_scope(&mut scope, &ast).map_err(|error| fault(&error))?;
        let object = scope.remove::<Dynamic>("object").unwrap_or(Dynamic::UNIT);
        value::leave(&object)
    }

    fn compile(&self, source: &str) -> Result<Arc<AST>, ScriptFault> {
        let name = Hash32::of(source.as_bytes());
        if let Some(ast) = self.inner.compiled.get(&name) {
            return Ok(ast);
        }
        let mut scope = Scope::new();
        scope.push("object", ());
        scope.push("context", ());
        let compiled = self.inner.engine.compile_with_scope(&scope, source);
        let ast = compiled.map_err(|error| ScriptFault::Syntax(cut(&error.to_string())))?;
        let ast = Arc::new(ast);
        self.inner.compiled.insert(name, Arc::clone(&ast));
        Ok(ast)
    }
}

fn engine() -> Engine {
    let mut engine = Engine::new_raw();
    CorePackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    // `sleep` of the language would keep a thread of the box; `eval` would escape the limits of a compiled script.
    engine.register_fn("sleep", |_: i64| -> Result<(), Box<EvalAltResult>> {
        Err("a script cannot wait".into())
    });
    engine.register_fn("refuse", |why: &str| -> Result<(), Box<EvalAltResult>> { Err(why.into()) });
    engine.disable_symbol("eval");
    engine.on_print(|_| {});
    engine.on_debug(|_, _, _| {});
    engine
        .set_strict_variables(true)
        .set_max_operations(OPERATIONS_MAX)
        .set_max_call_levels(CALLS_MAX)
        .set_max_expr_depths(EXPRESSIONS_MAX, EXPRESSIONS_MAX)
        .set_max_variables(VARIABLES_MAX)
        .set_max_functions(FUNCTIONS_MAX)
        .set_max_string_size(TEXT_BYTES_MAX)
        .set_max_array_size(ELEMENTS_MAX)
        .set_max_map_size(FIELDS_MAX)
        .set_max_strings_interned(0);
    engine.on_progress(watch::step);
    engine
}

/// Whether this is a script; why not, if it is none.
pub fn check(source: &str) -> Result<(), String> {
    Sandbox::default().check(source).map_err(|fault| fault.to_string())
}

/// What happened, in the innermost function that it happened in.
fn fault(error: &EvalAltResult) -> ScriptFault {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the errors of the language are many and may become more"
    )]
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => fault(inner),
        EvalAltResult::ErrorRuntime(said, _) => ScriptFault::Refused(cut(&said.to_string())),
        EvalAltResult::ErrorTooManyOperations(_) => {
            ScriptFault::Stopped(format!("it takes more than {OPERATIONS_MAX} steps"))
        }
        EvalAltResult::ErrorTerminated(why, _) => ScriptFault::Stopped(match why.to_string() {
            why if why == watch::MEMORY => {
                format!("it takes more than {} MB of memory", MEMORY_BYTES_MAX / (1024 * 1024))
            }
            _ => format!("it takes longer than {} ms", TIME_MAX.as_millis()),
        }),
        EvalAltResult::ErrorStackOverflow(_) => {
            ScriptFault::Stopped(format!("its functions call each other deeper than {CALLS_MAX}"))
        }
        EvalAltResult::ErrorTooManyVariables(_) => {
            ScriptFault::Stopped(format!("it has more than {VARIABLES_MAX} variables"))
        }
        EvalAltResult::ErrorDataTooLarge(what, _) => {
            ScriptFault::Stopped(format!("a value is too large: {}", cut(what)))
        }
        other => ScriptFault::Failed(cut(&other.to_string())),
    }
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}
