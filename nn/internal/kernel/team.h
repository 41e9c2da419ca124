// A team of threads that shares the work of one call. OpenMP's teams wait for every member at the end of a call, even for one that never
// got the processor, and keep spinning meanwhile: two busy programs on two cores then slow each other tenfold. Here a member takes items
// as long as there are any; whoever comes too late is not waited for, and waiting threads go to sleep after some microseconds.
#ifndef ENSUE_TEAM_H
#define ENSUE_TEAM_H

typedef struct ensue_team ensue_team;

// One item of work. thread is less than the team's size and differs between items that are worked on at the same time.
typedef void ensue_work(const void *job, long item, int thread);

// Starts the other threads-1 members; the caller of ensue_team_run is one too. NULL where the system gives no memory or thread.
ensue_team *ensue_team_open(int threads);
void ensue_team_close(ensue_team *);
int ensue_team_size(const ensue_team *);

// Works on items 0 to items-1, taken in this order, and returns when all are done. Only one thread at a time may call it.
void ensue_team_run(ensue_team *, ensue_work *, const void *job, long items);

#endif
