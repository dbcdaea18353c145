//! The processor's time-stamp counter.

/// Whether there is one.
pub const EXISTS: bool = cfg!(target_arch = "x86_64");

/// The counter, whatever it promises; 0 where there is none.
#[inline(always)]
pub fn read() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction. It has no effect, and is not privileged in any process with a
    // system clock of this kind.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// Whether the processor promises that it runs at one rate in every state of power.
#[inline(always)]
pub fn is_invariant() -> bool {
    use std::sync::atomic::{AtomicU8, Ordering};
    /// 0: not known yet, 1: it is, 2: it is not. Relaxed: every thread finds the same.
    static INVARIANT: AtomicU8 = AtomicU8::new(0);

    #[cold]
    fn detect() -> bool {
        let found = has_invariant();
        INVARIANT.store(if found { 1 } else { 2 }, Ordering::Relaxed);
        found
    }

    match INVARIANT.load(Ordering::Relaxed) {
        1 => true,
        2 => false,
        _ => detect(),
    }
}

#[cfg(target_arch = "x86_64")]
fn has_invariant() -> bool {
    use core::arch::x86_64::__cpuid;
    // Leaf 0x8000_0007, EDX bit 8, is "invariant TSC".
    #[allow(unused_unsafe)] // __cpuid became a safe function in a later Rust
    // SAFETY: every x86-64 processor has cpuid; the highest extended leaf is asked first.
    unsafe {
        __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & (1 << 8) != 0
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn has_invariant() -> bool {
    false
}

/// Whether it also never stops, agrees between processors, and is what the kernel keeps time by.
pub fn keeps_system_time() -> bool {
    let source = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    is_invariant() && source.is_ok_and(|s| matches!(s.trim(), "tsc" | "kvm-clock"))
}
