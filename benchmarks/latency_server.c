// A service that knows exactly how long it took: latency_server HOST PORT FILE SEED MEDIAN_MS SIGMA STALL
//
// Each request is answered after a log-normal time of its own (MEDIAN_MS, SIGMA), however many others are under way. With
// STALL = 1 the whole server stands still for 500 ms every 5 s, the first time after 2.5 s: what arrives meanwhile is read
// afterwards. FILE gets one pair of 64-bit numbers for each request: nanoseconds of CLOCK_MONOTONIC at which it was read,
// and at which its answer was written. For each stall it gets a pair whose first number is negated.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <math.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
static const int64_t STALL_EVERY = 5 * SECOND, STALL_FOR = SECOND / 2;
static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

typedef struct { int64_t due, read_at; int connection; } Request;
static Request *heap;
static size_t waiting, room;
static uint64_t state;
static FILE *record;

static int64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * SECOND + at.tv_nsec;
}

static double uniform(void) {  // xorshift64*, in (0, 1]
  state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
  return ((state * 2685821657736338717ULL >> 11) + 1) / 9007199254740993.0;
}

static double normal(void) { return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform()); }

static void push(Request request) {
  if (waiting == room) heap = realloc(heap, (room = room ? 2 * room : 1024) * sizeof *heap);
  size_t at = waiting++;
  for (; at && heap[(at - 1) / 2].due > request.due; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
  heap[at] = request;
}

static Request pop(void) {
  Request first = heap[0], last = heap[--waiting];
  size_t at = 0, child;
  while ((child = 2 * at + 1) < waiting) {
    if (child + 1 < waiting && heap[child + 1].due < heap[child].due) child++;
    if (heap[child].due >= last.due) break;
    heap[at] = heap[child], at = child;
  }
  heap[at] = last;
  return first;
}

static void keep(int64_t first, int64_t second) {
  int64_t pair[2] = {first, second};
  fwrite(pair, sizeof pair, 1, record);
}

static void stand_still(int64_t begun) {
  struct timespec until = {(begun + STALL_FOR) / SECOND, (begun + STALL_FOR) % SECOND};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL));
  keep(-begun, now());
}

static volatile sig_atomic_t over;
static void end(int number) { (void)number; over = 1; }

int main(int argc, char **argv) {
  if (argc != 8) return fputs("usage: latency_server HOST PORT FILE SEED MEDIAN_MS SIGMA STALL\n", stderr), 2;
  struct sigaction action = {.sa_handler = end};
  sigaction(SIGTERM, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  record = fopen(argv[3], "wb");
  state = strtoull(argv[4], NULL, 10) * 2 + 1;
  double median = atof(argv[5]) * 1e6, sigma = atof(argv[6]);
  int stalls = atoi(argv[7]), one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
  inet_pton(AF_INET, argv[1], &address.sin_addr);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (!record || bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) return perror(argv[0]), 1;
  int loop = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[512];
  epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event);
  event.data.fd = timer;
  epoll_ctl(loop, EPOLL_CTL_ADD, timer, &event);
  int64_t stall_at = stalls ? now() + STALL_EVERY / 2 : INT64_MAX;
  puts("listening");
  fflush(stdout);
  while (!over) {
    int64_t next = waiting && heap[0].due < stall_at ? heap[0].due : stall_at;
    struct itimerspec wake = {{0, 0}, {next / SECOND, next % SECOND}};
    if (next != INT64_MAX) timerfd_settime(timer, TFD_TIMER_ABSTIME, &wake, NULL);
    int found = epoll_wait(loop, events, 512, -1);
    if (now() >= stall_at) stand_still(stall_at), stall_at += STALL_EVERY;
    while (waiting && heap[0].due <= now()) {
      Request request = pop();
      if (write(request.connection, ANSWER, sizeof ANSWER - 1) > 0) keep(request.read_at, now());
    }
    for (int index = 0; index < found; index++) {
      int ready = events[index].data.fd;
      char text[4096];
      uint64_t ends;
      if (ready == timer) {
        if (read(timer, &ends, sizeof ends) < 0) continue;
      } else if (ready == listener) {
        for (int made; (made = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
          setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          event.data.fd = made;
          epoll_ctl(loop, EPOLL_CTL_ADD, made, &event);
        }
      } else if (read(ready, text, sizeof text) > 0) {
        int64_t at = now();
        push((Request){at + (int64_t)(median * exp(sigma * normal())), at, ready});
      } else {
        close(ready);  // a load generator closes when it is done: nothing of it is under way any more
      }
    }
  }
  return fclose(record);
}
