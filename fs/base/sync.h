/*
 * Order that the kernel makes and ThreadSanitizer cannot see. What a worker writes before it answers a request is visible to
 * the worker that gets the next request about it, because both made a system call in between. TSan knows that of read(2) and
 * write(2), not of splice(2): there the two calls here say it. Without TSan they are nothing. Layer: base.
 */
#ifndef ZCFS_BASE_SYNC_H
#define ZCFS_BASE_SYNC_H

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
__attribute__((weak)) char sync_anchor; /* only its address counts */
/* After a request was received. */
#define sync_received() __tsan_acquire(&sync_anchor)
/* Before an answer is sent that lets the kernel name something new, or end something. */
#define sync_answering() __tsan_release(&sync_anchor)
#else
#define sync_received()  ((void)0)
#define sync_answering() ((void)0)
#endif

#endif
