#include "luna/sched/r2c/thread_group.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace luna::r2c {

absl::Status PinThisThread(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  const int error = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
  if (error == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("CPU ", cpu, " is none that this process may use"));
}

absl::StatusOr<std::unique_ptr<ThreadGroup>> ThreadGroup::Start(const ThreadGroupOptions& options, Body body) {
  CHECK(options.threads > 0 && (options.cpus.empty() || options.cpus.size() == options.threads));
  std::unique_ptr<ThreadGroup> group(new ThreadGroup);
  for (size_t i = 0; i < options.threads; ++i) {
    auto mailbox = Mailbox::Create(options.mailbox_messages);
    if (!mailbox.ok()) return mailbox.status();
    auto member = std::make_unique<Member>();
    member->group_ = group.get();
    member->index_ = i;
    member->mailbox_ = *std::move(mailbox);
    group->members_.push_back(std::move(member));
  }
  for (size_t i = 0; i < options.threads; ++i) {
    const int cpu = options.cpus.empty() ? -1 : options.cpus[i];
    group->threads_.emplace_back([group = group.get(), i, cpu, body] { group->Run(*group->members_[i], cpu, body); });
  }
  absl::Status failed;
  {
    std::unique_lock<std::mutex> lock(group->mutex_);
    group->all_ready_.wait(lock, [&] { return group->ready_ == options.threads; });
    failed = group->failed_;
  }
  if (!failed.ok()) return failed;
  return group;
}

void ThreadGroup::Run(Member& member, int cpu, const Body& body) {
  const absl::Status pinned = cpu < 0 ? absl::OkStatus() : PinThisThread(cpu);
  if (!pinned.ok()) {
    member.Ready(pinned);
    return;
  }
  body(member);
  if (!member.told_) member.Ready();
}

bool ThreadGroup::Member::Ready(const absl::Status& status) {
  CHECK(!std::exchange(told_, true)) << "a member is ready once";
  std::unique_lock<std::mutex> lock(group_->mutex_);
  if (group_->failed_.ok()) group_->failed_ = status;
  ++group_->ready_;
  group_->all_ready_.notify_all();
  group_->all_ready_.wait(lock, [this] { return group_->ready_ == group_->members_.size(); });
  return group_->failed_.ok();
}

ThreadGroup::~ThreadGroup() { Stop(); }

void ThreadGroup::Stop() {
  const auto stop = [this](size_t first, size_t end) {
    for (size_t i = first; i < end; ++i) {
      members_[i]->stop_.store(true, std::memory_order_relaxed);
      // A full mailbox wakes its worker as well. The flag is seen by whoever takes the message out.
      (void)members_[i]->mailbox_->Post([](Worker&) {});
    }
    for (size_t i = first; i < std::min(end, threads_.size()); ++i) {
      if (threads_[i].joinable()) threads_[i].join();
    }
  };
  stop(1, members_.size());
  stop(0, std::min<size_t>(1, members_.size()));
}

}  // namespace luna::r2c
