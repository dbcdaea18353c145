//! Byte buffers that a thread uses again and again, so that a lookup in the file allocates nothing.
//!
//! Ring 3. A call keeps what it has taken while Python code runs; calls within it take others.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use shared::ReadBuf;

/// The buffers of one call.
#[derive(Default)]
pub struct Buffers {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub read: ReadBuf,
}

/// Larger ones are not kept, nor more of them.
const KEPT_BYTES: usize = 1 << 16;
const KEPT: usize = 8;

thread_local! {
    #[allow(clippy::vec_box)] // they come and go in their boxes
    static FREE: RefCell<Vec<Box<Buffers>>> = const { RefCell::new(Vec::new()) };
}

/// Buffers lent to a call, empty at first (but for what `read` last read). In a box, as what has them is handed on.
pub struct PooledBuffers(ManuallyDrop<Box<Buffers>>);

impl PooledBuffers {
    pub fn new() -> Self {
        let kept = FREE.try_with(|free| free.try_borrow_mut().ok()?.pop()).ok().flatten();
        PooledBuffers(ManuallyDrop::new(kept.unwrap_or_default()))
    }
}

impl Deref for PooledBuffers {
    type Target = Buffers;

    fn deref(&self) -> &Buffers {
        &self.0
    }
}

impl DerefMut for PooledBuffers {
    fn deref_mut(&mut self) -> &mut Buffers {
        &mut self.0
    }
}

impl Drop for PooledBuffers {
    fn drop(&mut self) {
        // SAFETY: it is taken here alone, and nobody sees this after.
        let mut buffers = unsafe { ManuallyDrop::take(&mut self.0) };
        if buffers.key.capacity() + buffers.value.capacity() + buffers.read.capacity() > KEPT_BYTES {
            return;
        }
        buffers.key.clear();
        buffers.value.clear();
        let _ = FREE.try_with(|free| {
            if let Ok(mut free) = free.try_borrow_mut() {
                if free.len() < KEPT {
                    free.push(buffers);
                }
            }
        });
    }
}
