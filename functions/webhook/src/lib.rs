//! Takes GitHub's deliveries and puts queued jobs on the queue.
