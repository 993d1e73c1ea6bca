"""Training: the one loop, its schedules, the best epoch, teachers, stages that runs share."""
